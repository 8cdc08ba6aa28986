"""The tables of reference records stay what they are, to the byte; one that is meant to change gets a new digest."""

import hashlib

import pytest

from reports.reading.load import load
from reports.report import write
from suite.results.reference import reference_table

DIGESTS = {
    "published-budget/mier": {
        "aggregates": "a01f65904e0d", "gain": "ff0d1b7d8c49", "gap": "93f29cda742c", "gate": "2e819ac9ac51",
        "improvement": "c7907a08e89c", "main": "0482743d3d44", "runs": "69218482057c", "score": "a0bd1ff7b056",
        "seeds": "a8c6ee036842", "verdicts": "6aebf4070349",
    },
    "parity": {
        "aggregates": "9ce95ece5489", "gain": "beacf2e156b6", "gap": "8d139000d850", "gate": "50874d847600",
        "improvement": "1eaf4ca78fff", "main": "6d06497df65b", "runs": "e8e58a947bd9", "score": "c7204813e82a",
        "seeds": "7d7cc04526c2", "verdicts": "633446ef3fb2",
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
