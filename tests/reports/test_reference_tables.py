"""The tables of reference records stay what they are, to the byte; one that is meant to change gets a new digest."""

import hashlib
import re

import pytest

from reports.reading.load import load
from reports.report import write
from suite.results.reference import reference_table

DIGESTS = {
    "published-budget/mier": {
        "aggregates": "3cd5501c036d", "gain": "a8b6a431d540", "gap": "72731279ec19", "gate": "4e36033740f7",
        "improvement": "c7907a08e89c", "main": "0d74b2bd1ddf", "runs": "5b36b8e42abf", "score": "5ad7c11b579e",
        "seeds": "bf3f18727261", "verdicts": "dfb4e9d47ef8",
    },
    "parity": {
        "aggregates": "8d982d863cbd", "gain": "813662b47f1d", "gap": "a9e81dfbf095", "gate": "50874d847600",
        "improvement": "47e4b06256af", "main": "5230dd9a8829", "runs": "4171bedaa9ef", "score": "453b9287d60a",
        "seeds": "b3d6166ca066", "verdicts": "633446ef3fb2",
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
