"""What is done, as data with an identity."""

from suite.experiment.specs import EvaluationProtocol, MetatestSpec
from tasks.registry import get_split


def test_finality_is_no_part_of_the_identity_and_the_splits_hash_is():
    common = {"training": "x", "env_steps": 1, "algorithm": "mier", "protocol": EvaluationProtocol(), "config": {}}
    split = get_split("point-goal.ood")
    final, milestone = (MetatestSpec(**common, split=split, is_final=value) for value in (True, False))
    assert final.hash == milestone.hash
    told = split.model_copy(update={"description": "the same, told otherwise"})
    assert MetatestSpec(**common, split=told, is_final=True).hash == final.hash
    moved = split.model_copy(update={"test": split.test[1:]})
    assert MetatestSpec(**common, split=moved, is_final=True).hash != final.hash
