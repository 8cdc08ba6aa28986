"""What is beyond all measure is refused at once, in a short message that says the limit."""

import json

import pytest
import yaml
from fuzzing import bounded
from tests_support import OWN, changed

from suite.errors import UserError
from suite.experiment.declaration import Experiment, load_experiment
from suite.experiment.expansion import expand

LONGEST = 1500  # characters


def with_own(**fields):
    (own,) = yaml.safe_load(f"own_splits:{OWN}")["own_splits"]
    return changed(own_splits=[own | fields])


def wide(values, tasks=5):
    return {"mier.train.context_dim": list(range(1, values)), "mier.adapt.context_steps": list(range(1, values)),
            "mier.adapt.batch": list(range(1, tasks))}  # fmt: skip


BEYOND = {
    "many seeds": (changed(seeds=list(range(20_000))), "seeds: Tuple should have at most 10000 items"),
    "many values of anything": (changed(seeds=list(range(100_000))), "it has more than 100,000 values"),
    "a product of axes": (changed(axes=wide(1200, 9)), "at most 20,000 are allowed in one experiment"),
    "many tasks": (with_own(train={"uniform": [0, 4], "number": 100_000, "seed": 1}), "own_splits.0.train.number: "),
    "many values": (with_own(test={"values": [4.5] * 20_000}), "own_splits.0.test.values: "),
    "a seed of 2^63": (changed(seeds=[2**63]), "seeds.0: Input should be less than 9223372036854775808"),
    "a seed of a draw": (with_own(train={"uniform": [0, 4], "number": 3, "seed": 2**32}), "own_splits.0.train.seed: "),
    "adaptation data": (with_own(adaptation_transitions=2**63), "own_splits.0.adaptation_transitions: "),
    "env steps": (
        changed(budget={"env_steps": 10**30}),
        "budget.env_steps: Input should be less than or equal to 1000",
    ),
    "a milestone": (changed(budget={"env_steps": 50_000, "milestones": [2**70]}), "milestones lie on the way"),
    "many milestones": (changed(budget={"env_steps": 50_000, "milestones": list(range(1, 3_000))}), "at most 1000"),
    "updates": (changed(protocol={"evaluate_every": 2**63}), "protocol.evaluate_every: Input should be less"),
    "a cap on updates": (changed(protocol={"max_updates": 2**63}), "protocol.max_updates: Input should be less"),
    "tasks of a protocol": (changed(protocol={"max_tasks": 2**63}), "protocol.max_tasks: Input should be less"),
    "data of a protocol": (changed(protocol={"adaptation_transitions": 2**63}), "protocol.adaptation_transitions: "),
    "a number of a knob": (
        changed(algorithms=[{"name": "mier", "train": {"task_batch": 10**30}}]),
        "must be at most 1e",
    ),
    "time between checkpoints": (changed(checkpoint_seconds=1e300), "checkpoint_seconds: Input should be less"),
    "a name": (changed(name="x" * 300), "name: String should have at most 100 characters"),
    "a label": (changed(algorithms=[{"name": "mier", "label": "x" * 300}]), "at most 100 characters"),
    "a description": (changed(description="x" * 100_000), "description: String should have at most 10000 characters"),
}


@pytest.mark.parametrize("what", BEYOND)
def test_what_is_beyond_all_measure_is_refused_with_its_limit(tmp_path, what):
    document, words = BEYOND[what]
    path = tmp_path / "experiment.yaml"
    path.write_text(json.dumps(document))  # which is YAML too
    with bounded(what), pytest.raises(UserError) as caught:
        expand(load_experiment(path))
    assert words in str(caught.value)
    assert len(str(caught.value)) < LONGEST


def test_the_largest_seed_is_one():
    assert Experiment.model_validate(changed(seeds=[2**63 - 1])).seeds == (2**63 - 1,)
