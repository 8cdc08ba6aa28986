"""Declared experiments stand on the page as they were resolved; what is none is named and left out."""

import json
from pathlib import Path

import pytest

from reports import facts
from reports.load import load
from reports.report import build
from suite.experiment import Experiment
from suite.overrides import parse_yaml

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"
TINY = {"name": "tiny", "splits": ["point-goal.ood"], "algorithms": ["pearl"], "seeds": [0], "budget": "smoke"}


def declare(folder, **given):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.json").write_text(json.dumps({"name": "tiny", "experiment": TINY | given}))


def reasons(folder):
    return {problem.where: problem.why for problem in load(folder).problems}


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in REFERENCE.glob("*/experiment.json")), ids=lambda path: path.name
)
def test_the_text_declares_the_very_experiment(folder):
    resolved = json.loads((folder / "experiment.json").read_text())["experiment"]
    ((file, command, text),) = facts.experiments(load(folder))
    assert Experiment.model_validate(parse_yaml(text)) == Experiment.model_validate(resolved)
    assert file == f"{resolved['name']}.yaml"
    assert command == f"offmap run {file} --out runs/{resolved['name']}"


def test_the_page_gives_the_command_and_the_experiment_instead_of_what_workers_ran(golden, one_figure):
    assert "offmap run experiment.yaml" in build(golden).read_text()
    assert "No readable <code>experiment.json</code>" in build(golden).read_text()
    declare(golden)
    text = build(golden).read_text()
    assert "<pre>offmap run tiny.yaml --out runs/tiny</pre>" in text
    assert "splits:\n- point-goal.ood\n" in text
    assert "offmap run experiment.yaml" not in text
    assert "No readable" not in text


def test_equal_experiments_are_one_and_others_of_the_same_name_are_numbered(golden):
    for folder, seeds in (("a", [0]), ("b", [0]), ("c", [1])):
        declare(golden / folder, seeds=seeds)
    assert [made[:2] for made in facts.experiments(load(golden))] == [
        ("tiny.yaml", "offmap run tiny.yaml --out runs/tiny"),
        ("tiny-2.yaml", "offmap run tiny-2.yaml --out runs/tiny-2"),
    ]


@pytest.mark.parametrize("name", ["x; rm -rf ~", "../up", "-out", "a\nb", "", "x" * 300, 3, None])
def test_a_name_that_would_not_stay_one_word_of_a_command_is_refused(golden, name):
    declare(golden, name=name)
    assert load(golden).experiments == {}
    assert "that of an experiment: experiment.name: " in reasons(golden)["experiment.json"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "cannot be read (JSONDecodeError)"), ("[" * 100_000, "cannot be read (RecursionError)"),
     ("[]", "not that of an experiment"), ('{"experiment": {"name": "tiny"}}', "experiment.splits: Field required"),
     ('{"experiment": "' + "x" * 1_000_000 + '"}', "is longer than 1000000 bytes"),
     (b"\xff\xfe", "cannot be read (UnicodeDecodeError)")],
)  # fmt: skip
def test_what_is_no_experiment_is_named_on_the_page(golden, one_figure, text, why):
    (golden / "experiment.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert why in reasons(golden)["experiment.json"]
    page = build(golden).read_text()
    assert "<code>experiment.json</code>" in page[page.index('id="missing"') :]


def test_a_hostile_experiment_stays_text(golden, one_figure):
    declare(golden, description="</pre><script>alert(1)</script>\u202e\x1b[2J", budget={"!!python/object": "{{ 7*7 }}"})
    text = build(golden).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "{{ 7*7 }}" in text
    assert not {"\u202e", "\x1b"} & set(text)
