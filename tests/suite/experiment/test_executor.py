"""The `executor:` block: what is read, what is refused, what a run asks for."""

import pytest
from pydantic import ValidationError

from suite.errors import UserError
from suite.experiment.declaration import load_experiment
from suite.experiment.executor import ExecutorSpec, Request, megabytes_of, minutes_of
from suite.experiment.expansion import expand
from suite.experiment.overrides import parse_yaml

FILE = """
name: mine
splits: [point-goal.ood]
algorithms: [mier, mier-wr, {name: pearl, label: wide}]
budget: {env_steps: 50_000}
executor:
"""


@pytest.fixture
def load(tmp_path):
    """A function (lines of the executor block, *overrides) -> the experiment, expanded so that all is checked."""

    def build(*lines, overrides=()):
        path = tmp_path / "mine.yaml"
        path.write_text(FILE + "".join(f"  {line}\n" for line in lines))
        experiment = load_experiment(path, overrides)
        expand(experiment)
        return experiment

    return build


@pytest.mark.parametrize(("given", "minutes"), [
    (90, 90), ("01:30:00", 90), ("1:30:00", 90), ("00:00:01", 1), ("00:01:01", 2), ("1-00:00:00", 1440),
    ("2-12:30:00", 3630), ("100:00:00", 6000),
])  # fmt: skip
def test_time_limits_in_whole_minutes(given, minutes):
    assert minutes_of(given) == minutes
    assert Request(time=given).time == minutes


@pytest.mark.parametrize("given", ["4:00", "1h", "", 0, -5, 1.5, True, "1:60:00", None])
def test_no_time_limits(given):
    with pytest.raises(ValidationError):
        Request(time=given)


@pytest.mark.parametrize(("given", "megabytes"), [("500MB", 500), ("4GB", 4096), ("4g", 4096), ("1.5 GiB", 1536),
                                                  ("0.0001G", 1), ("2T", 2 * 1024**2)])  # fmt: skip
def test_memory(given, megabytes):
    assert megabytes_of(given) == megabytes
    assert Request(memory=given).memory == f"{megabytes}MB"


@pytest.mark.parametrize("given", [4, "4", "lots", "-4GB", "4KB"])
def test_no_memory(given):
    with pytest.raises(ValidationError, match="a number with its unit"):
        Request(memory=given)


def test_an_unquoted_time_is_no_number_to_the_base_of_60(load):
    """YAML 1.1 would read 4:00:00 as 14400, which would then be taken for minutes: ten days."""
    assert load("time: 4:00:00").executor.time == 240
    assert load("time: 240", overrides=["executor.time=12:00:00"]).executor.time == 720
    assert parse_yaml("[1_500_000, 1:30, 0.5, 12]") == [1_500_000, "1:30", 0.5, 12]


@pytest.mark.parametrize(("line", "parts"), [
    ("partion: long", ["executor.partion is not a known key", "did you mean partition? (known: account, array"]),
    ("colour: red", ["executor.colour is not a known key", "known: account, array_parallelism, canary"]),
    ("kind: slrum", ["executor.kind", "did you mean slurm?"]),
    ("time: 1:30", ["executor.time", "HH:MM:SS", "'1:30'"]),
    ("memory: 4", ["executor.memory", "such as 500MB or 4GB"]),
    ("runs_per_job: 0", ["executor.runs_per_job", "greater than 0"]),
    ("signal_seconds: 3600\n  time: 1:00:00", ["signal_seconds: 3600 leave nothing of a time limit of 60 minutes"]),
    ("variants: {wide: {kind: local}}", ["executor.variants.wide.kind is not a known key"]),
    ("variants: {wid: {time: 60}}", ["there is no variant 'wid'", "did you mean wide?"]),
    ("variants: {wide: {time: soon}}", ["executor.variants.wide.time", "HH:MM:SS"]),
    ("code: old", ["executor.code", "'snapshot' or 'clean'"]),
])  # fmt: skip
def test_mistakes(load, line, parts):
    with pytest.raises(UserError) as caught:
        load(line)
    for part in parts:
        assert part in str(caught.value)


def test_single_variants_may_ask_for_something_else():
    spec = ExecutorSpec(partition="long", memory="2GB", variants={"pearl": {"memory": "8GB", "gpus": 1}})
    common = Request(partition="long", memory="2GB")
    assert spec.request(["mier", "mier-wr"]) == common
    assert spec.request(["pearl"]) == common.model_copy(update={"memory": "8192MB", "gpus": 1})
    assert spec.request(["mier", "pearl"]).gpus == 1  # who says nothing is content with what the other asks for
    torn = spec.changed(variants={"mier": {"time": 60}, "mier-wr": {"time": 90}})
    with pytest.raises(UserError, match="mier and mier-wr share one training"):
        torn.request(["mier", "mier-wr"])


def test_what_is_written_down_reads_the_same():
    spec = ExecutorSpec(kind="slurm", time="2:00:00", memory="1GB", setup=("module load x",),
                        variants={"pearl": {"gpus": 1}})  # fmt: skip
    document = spec.model_dump(mode="json")
    assert document["variants"] == {"pearl": {"gpus": 1}}  # not the defaults, which are not its own
    assert ExecutorSpec.model_validate(document) == spec


def test_values_changed_on_the_command_line():
    spec = ExecutorSpec(kind="slurm")
    assert spec.changed(kind=None, workers=3) == ExecutorSpec(kind="slurm", workers=3)
    with pytest.raises(UserError, match=r"executor: kind.*did you mean slurm\?"):
        spec.changed(kind="slrum")


def test_the_executor_is_no_part_of_any_identity(load):
    one, other = load("kind: local"), load("{kind: slurm, partition: long, time: 60}")
    for left, right in zip(expand(one), expand(other)):
        assert left.training.hash == right.training.hash
        assert [test.hash for test in left.metatests] == [test.hash for test in right.metatests]
