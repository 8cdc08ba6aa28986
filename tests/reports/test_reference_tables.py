"""The tables of reference records stay what they are, to the byte; one that is meant to change gets a new digest."""

import hashlib
import re

import pytest

from reports.reading.load import load
from reports.report import write
from suite.results.reference import reference_table

DIGESTS = {
    "published-budget/mier": {
        "aggregates": "af6b78289a6a", "gain": "e504bb61f6e8", "gap": "2949834d231b", "gate": "4e36033740f7",
        "improvement": "8112029e697b", "main": "1a2e1f8d6f6e", "runs": "5b36b8e42abf", "score": "d56db4fba301",
        "seeds": "8f76a6bb460d", "variants": "196a61fc7360", "verdicts": "dfb4e9d47ef8", "latex": "0fa9eecfaa59",
    },
    "parity": {
        "aggregates": "9a9cfeaa5cf8", "gain": "b7b1404a0143", "gap": "3d4ece670511", "gate": "50874d847600",
        "improvement": "d1e0705299a3", "main": "9206c52d66ce", "runs": "4171bedaa9ef", "score": "1102cc6f8f72",
        "seeds": "50ae0a496337", "variants": "6bc41f65f3d1", "verdicts": "633446ef3fb2", "latex": "03e97222fe42",
    },
}  # fmt: skip
"""Of each table's CSV and Markdown, and of all LaTeX and BibTeX: one seed with a gate, and three seeds of variants that
share trainings."""

LONG = re.compile(rb"-?[0-9]+\.[0-9]{7,}")
"""A number of so many digits that the last of them depends on the version of a library."""


def rounded(text):
    """A table's text with seven significant digits of each long number."""
    return LONG.sub(lambda number: f"{float(number[0]):.7g}".encode(), text)


@pytest.mark.parametrize("name", DIGESTS)
def test_the_tables_of_reference_records_stay_what_they_are(name, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.report.FIGURES", ())
    page = write(load(reference_table(name)), tmp_path)
    digests = {}
    for path in sorted((page.parent / "tables").iterdir()):
        name_of_table = "latex" if path.suffix in (".tex", ".bib") else path.stem
        digests.setdefault(name_of_table, hashlib.sha256()).update(rounded(path.read_bytes()))
    assert {table: digest.hexdigest()[:12] for table, digest in digests.items()} == DIGESTS[name]
