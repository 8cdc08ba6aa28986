"""Experiment files and overrides that nobody would write: one message or an experiment, at once, and no traceback."""

import random

import pytest
from fuzzing import SEED, bounded, fuzz, number_of_cases
from tests_support import GOOD, OWN

from suite.errors import UserError
from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand

FEW = 120
LONGEST = 12_000  # characters of a message

WORDS = [
    "null", "~", "true", "yes", "-1", "0", "1e6", "1e400", ".inf", ".nan", "010", "0x_", "2024-13-45", "9" * 60,
    str(2**63), str(2**70), "1.5", "[]", "{}", "[[[[]]]]", "{a: {b: c}}", "''", '"\\ud800"', '"\\u0007"', "!!binary x",
    "!!timestamp 'x'", "&a [*a]", "*nowhere", "<<: 3", "x" * 300, "ünïcødé", "../../x", "/etc/passwd", "-", "?",
    "%", "@", "[0, 0]", "[1, 2, 3]", "{values: [1]}", "{uniform: [0, 1], number: 100000, seed: 1}", "point-goal.ood",
    "{grid: [[0, 1], [2, 1e308]], number: 9999}", "{parameters: {angle: {grid: [0, 6], number: 2}, no: {}}}",
    "{normal: {mean: 1e308, std: 1e-300, within: [[0, 1], [2, 3]]}, number: 9, seed: 1}", "{far: {values: [5.5]}}",
    "mier", "[mier]",
]  # fmt: skip
LINES = [
    "axes: {mier.train.context_dim: [" + ", ".join(map(str, range(1, 400))) + "], "
    "mier.adapt.context_steps: [" + ", ".join(map(str, range(1, 400))) + "]}",
    "seeds: [" + ", ".join(map(str, range(20_000))) + "]",
    "seeds: [0]", "native_protocol: maybe", "device: cuda:99999999", "checkpoint_seconds: -1", "protocl: {}",
    "description: " + "long " * 4000, "executor: {memory: lots, time: 4:00:00}", "executor: {workers: 1e30}",
    "protocol: {evaluation_episodes: 10000000000000}", "milestone_protocol: {task_lists: [train, train]}",
]  # fmt: skip
OVERRIDES = ["seeds.\u00b2=1", "seeds=[", "=1", "a", "algorithms.9.name=x", "budget=1e6", "splits.0=" + "y" * 5000,
             "name=\ud800", "algorithms.mier.train={context_dim: 1e30}", "seeds.0=" + "9" * 30, "a.b.c.d=1",
             "protocol.evaluate_every=true", "axes={mier.train.: [1]}", "..=", "executor.kind=slurm"]  # fmt: skip


def mutated(rng: random.Random) -> str:
    """A valid experiment after a few changes that a person, a program or an accident could have made."""
    lines = (GOOD + "own_splits:" + OWN + "    extra: {far: {values: [5.5]}}\n").splitlines()
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0:
            lines.insert(place, lines[rng.randrange(len(lines))])
        elif kind == 1:
            del lines[place]
        elif kind == 2 and ":" in lines[place]:
            lines[place] = lines[place].partition(":")[0] + ": " + rng.choice(WORDS)
        elif kind == 3:
            lines.append(rng.choice(LINES))
        elif kind == 4 and lines[place]:
            at = rng.randrange(len(lines[place]))
            lines[place] = lines[place][:at] + chr(rng.choice([0, 7, 9, 10, 34, 39, 58, 91, 123, 0x2028, 0x1F600]))
        elif kind == 5:
            lines[place] = " " * rng.randint(0, 9) + lines[place].strip()
        elif kind == 6 and ":" in lines[place]:
            lines[place] = lines[place].replace(":", rng.choice([" :", "::", "=", ": ["]), 1)
        else:
            words = lines[place].split()
            rng.shuffle(words)
            lines[place] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines)


def check(path, text, overrides):
    """Load and expand; whatever comes out of it comes soon, and as an experiment or as one message."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    told = f"{overrides}\n{text}"
    with bounded(told):
        try:
            expand(load_experiment(path, overrides))
        except UserError as error:
            message = str(error)
            assert message, told
            assert len(message) < LONGEST, told
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{told}") from error
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], told


def check_mutated(path):
    """A function (generator) that checks one mutated experiment, a fifth of them with an odd override."""
    return lambda rng: check(path, mutated(rng), [rng.choice(OVERRIDES)] if rng.random() < 0.2 else [])


def test_mutated_experiments_are_loaded_or_refused(tmp_path):
    fuzz(check_mutated(tmp_path / "experiment.yaml"), FEW, 0)


@pytest.mark.slow
@pytest.mark.stress
def test_many_mutated_experiments_are_loaded_or_refused(tmp_path):
    fuzz(check_mutated(tmp_path / "experiment.yaml"), number_of_cases("experiment"), SEED)


@pytest.mark.parametrize("override", OVERRIDES)
def test_each_odd_override_alone(tmp_path, override):
    check(tmp_path / "experiment.yaml", GOOD, [override])
