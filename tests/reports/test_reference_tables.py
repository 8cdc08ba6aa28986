"""The tables of reference records stay what they are, to the byte; one that is meant to change gets a new digest."""

import hashlib

import pytest

from reports.reading.load import load
from reports.report import write
from suite.results.reference import reference_table

DIGESTS = {
    "published-budget/mier": {
        "aggregates": "a8b43a1da0c3", "gain": "dccfd168bc77", "gap": "93f29cda742c", "gate": "2e819ac9ac51",
        "improvement": "c7907a08e89c", "main": "8ffb7ba2e7c5", "runs": "69218482057c", "score": "ddacdf9a48e6",
        "seeds": "7f2da362b4d0", "variants": "196a61fc7360", "verdicts": "6aebf4070349",
    },
    "parity": {
        "aggregates": "bc04b760e3b0", "gain": "e849a7742b6e", "gap": "3e487be33a03", "gate": "50874d847600",
        "improvement": "905070647365", "main": "90734c7a9a36", "runs": "e8e58a947bd9", "score": "3fa39b914bee",
        "seeds": "3d27c5c2f168", "variants": "6bc41f65f3d1", "verdicts": "633446ef3fb2",
    },
}  # fmt: skip
"""Of each table's CSV, LaTeX and Markdown: one seed with a gate, and three seeds of variants that share trainings."""


@pytest.mark.parametrize("name", DIGESTS)
def test_the_tables_of_reference_records_stay_what_they_are(name, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.report.FIGURES", ())
    page = write(load(reference_table(name)), tmp_path)
    digests = {}
    for path in sorted((page.parent / "tables").iterdir()):
        digests.setdefault(path.stem, hashlib.sha256()).update(path.read_bytes())
    assert {table: digest.hexdigest()[:12] for table, digest in digests.items()} == DIGESTS[name]
