"""What an experiment wants its report to show."""

import json

import pytest
from tests_support import GOOD, written

from suite.errors import UserError
from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand


def declared(tmp_path, report):
    return load_experiment(written(tmp_path, f"{GOOD}report: {json.dumps(report)}\n"))


def test_it_is_data_of_the_experiment_and_no_part_of_what_runs(tmp_path):
    plain = load_experiment(written(tmp_path, GOOD))
    chosen = declared(tmp_path, {"variants": ["pearl", "plain"]})
    assert chosen.report.variants == ("pearl", "plain")
    assert "report" not in plain.model_dump(mode="json")
    assert chosen.model_dump(mode="json")["report"] == {"variants": ["pearl", "plain"], "splits": []}
    hashes = [[[test.hash for test in cell.metatests] for cell in expand(one)] for one in (plain, chosen)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"variants": ["peral"]}, "report.variants: there is no variant 'peral' in the experiment; did you mean pearl"),
        ({"splits": ["cheetah-velocity.hrad"]}, "report.splits: there is no split 'cheetah-velocity.hrad'"),
        ({"variants": ["pearl", "pearl"]}, "names something twice"),
        ({"variant": ["pearl"]}, "variant"),
    ],
)
def test_a_mistake_in_it_is_named_before_anything_runs(tmp_path, report, words):
    with pytest.raises(UserError) as error:
        expand(declared(tmp_path, report))
    assert words in str(error.value)
