"""The tables of reference records stay what they are, to the byte; one that is meant to change gets a new digest."""

import hashlib
import re

import pytest

from reports.reading.load import load
from reports.report import write
from suite.results.reference import reference_table

DIGESTS = {
    "published-budget/mier": {
        "aggregates": "c221c19b2d75", "gain": "1892b7ac89fa", "gap": "72731279ec19", "gate": "4e36033740f7",
        "improvement": "c7907a08e89c", "main": "04f951a9084b", "runs": "5b36b8e42abf", "score": "7f074f925afc",
        "seeds": "8f76a6bb460d", "variants": "196a61fc7360", "verdicts": "dfb4e9d47ef8",
    },
    "parity": {
        "aggregates": "5178a98f9e13", "gain": "f01dd6e5d158", "gap": "2d655a0675e6", "gate": "50874d847600",
        "improvement": "98fff7bce9b3", "main": "ee10fe33ba77", "runs": "4171bedaa9ef", "score": "1fb712bcf2bb",
        "seeds": "50ae0a496337", "variants": "6bc41f65f3d1", "verdicts": "633446ef3fb2",
    },
}  # fmt: skip
"""Of each table's CSV, LaTeX and Markdown: one seed with a gate, and three seeds of variants that share trainings."""

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
        digests.setdefault(path.stem, hashlib.sha256()).update(rounded(path.read_bytes()))
    assert {table: digest.hexdigest()[:12] for table, digest in digests.items()} == DIGESTS[name]
