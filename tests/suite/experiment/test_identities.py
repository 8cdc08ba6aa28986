"""What was run keeps its identity: the reference records hash to the names that their folders have."""

from pathlib import Path

import pytest

from suite.experiment.specs import MetatestSpec, TrainingSpec
from suite.results.json_files import read_json
from tasks.registry import get_split

REFERENCES = Path(__file__).parents[3] / "reports" / "reference"
TRAININGS = sorted(path.parent for path in REFERENCES.glob("**/config.json") if path.parents[1].name != "metatests")
METATESTS = sorted(path.parent for path in REFERENCES.glob("**/metatests/*/config.json"))


def test_there_are_reference_records():
    assert len(TRAININGS) >= 20
    assert len(METATESTS) >= 60


@pytest.mark.parametrize("folder", TRAININGS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_training_is_called_by_its_hash(folder):
    assert TrainingSpec.model_validate(read_json(folder / "config.json")).hash == folder.name


@pytest.mark.parametrize("folder", METATESTS, ids=lambda folder: folder.name)
def test_a_meta_test_is_called_by_its_hash_and_knows_its_training_and_split(folder):
    spec = MetatestSpec.model_validate(read_json(folder / "config.json"))
    assert spec.hash == folder.name
    assert spec.training == folder.parents[1].name
    if spec.split.name not in ("draws",):  # declared in an experiment
        assert spec.split.hash == get_split(spec.split.full_name).hash
