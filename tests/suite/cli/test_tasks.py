"""`offmap tasks` and `offmap algorithms`."""

import json

import pytest

from tasks.registry import splits
from tasks.verify import Check

KNOWN = {split.full_name: split for split in splits()}


def test_list(offmap):
    answer = offmap("tasks", "list")
    assert answer.code == 0
    for name, split in KNOWN.items():
        (line,) = [line for line in answer.out.splitlines() if line.startswith(f"{name} ")]
        assert split.hash in line
        assert line.split()[1] == split.role


def test_list_as_json(offmap):
    document = json.loads(offmap("tasks", "list", "--json").out)
    listed = {split["name"]: split for family in document["families"] for split in family["splits"]}
    assert set(listed) == set(KNOWN)
    hard = listed["cheetah-velocity.hard"]
    assert hard["tasks"] == {"train": 100, "test": 30, "test_id": 30}
    assert hard["hash"] == KNOWN["cheetah-velocity.hard"].hash
    assert (hard["role"], hard["tunes"]) == ("benchmark", [])
    assert (listed["point-goal.tuning"]["role"], listed["point-goal.tuning"]["tunes"]) == (
        "tuning",
        ["standard", "ood"],
    )


def test_show_a_split(offmap):
    answer = offmap("tasks", "show", "point-goal.ood")
    assert answer.code == 0
    assert KNOWN["point-goal.ood"].hash in answer.out
    assert "train: 40 tasks" in answer.out
    assert "... and 28 more" in answer.out
    document = json.loads(offmap("tasks", "show", "point-goal.ood", "--json").out)
    assert [tuple(row) for row in document["train"]] == list(KNOWN["point-goal.ood"].train)


def test_show_a_tuning_split(offmap):
    out = offmap("tasks", "show", "cheetah-vel.tuning").out
    assert "tuning split, for standard, medium, hard, graded, out of distribution, 200 adaptation steps" in out
    assert "of the task-blind optimum -48.7 in training and -157.4 on test" in out
    assert "training distribution: target_speed in 0 to 1 m/s" in out
    assert "benchmark split, same tasks" in offmap("tasks", "show", "cheetah-direction.standard").out


@pytest.mark.parametrize("name", ["walker-parameters", "ant-neg"])
def test_show_a_family_by_name_or_nickname(offmap, name):
    answer = offmap("tasks", "show", name)
    document = json.loads(offmap("tasks", "show", name, "--json").out)
    assert answer.code == 0
    for parameter in document["parameters"]:
        assert parameter["name"] in answer.out
    for split in document["splits"]:
        assert split["name"] in answer.out


def test_show_a_family_lists_its_views(offmap):
    assert "views: full (20 numbers), without_position (17 numbers)" in offmap("tasks", "show", "cheetah-direction").out
    assert "views: full (17 numbers)\n" in offmap("tasks", "show", "walker-parameters").out
    document = json.loads(offmap("tasks", "show", "cheetah-direction", "--json").out)
    assert document["views"] == {"without_position": list(range(17))}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("cheetah-velocty", "cheetah-velocity"), ("cheetah-vel.hrad", "cheetah-velocity.hard"), ("x.y", "known: ")],
)
@pytest.mark.parametrize("verb", ["show", "verify", "render"])
def test_unknown_names(refused, verb, name, nearest):
    message = refused("tasks", verb, name)
    assert message.startswith("offmap: there is no ")
    assert nearest in message


def test_verify(offmap):
    answer = offmap("tasks", "verify", "point-goal.ood")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("passed  point-goal.ood  ") for line in lines)


def test_verify_fails_when_a_check_does(offmap, monkeypatch):
    def broken(split):
        return [Check("lists", True, "fine"), Check("hash", split.name != "standard", "differs [from] the record")]

    monkeypatch.setattr("tasks.verify.verify", broken)
    answer = offmap("tasks", "verify", "point-goal")
    assert answer.code == 1
    assert "FAILED  point-goal.standard  hash: differs [from] the record" in answer.out
    assert "passed  point-goal.ood  hash" in answer.out
    assert answer.out.endswith("checks failed: 1\n")


def test_render(offmap, tmp_path):
    answer = offmap("tasks", "render", "point-goal.ood", "cheetah-direction", "--out", tmp_path / "pictures")
    written = [tmp_path / "pictures" / f"{name}.png" for name in ("point-goal.ood", "cheetah-direction.standard")]
    assert answer.out.split() == [str(path) for path in written]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_algorithms_list(offmap):
    document = json.loads(offmap("algorithms", "list", "--json").out)
    training = {entry["name"]: entry["training"] for entry in document["algorithms"]}
    assert training.items() >= {"mier": "mier", "mier-wr": "mier", "pearl": "pearl"}.items()
    lines = offmap("algorithms", "list").out.splitlines()
    names = [line.split()[0] for line in lines[1:] if not line.startswith(" ")]  # long summaries go on below
    assert names == list(training)


@pytest.mark.parametrize("name", ["mier", "mier-wr", "pearl", "maml", "promp"])
def test_show_explains_every_field(offmap, name):
    document = json.loads(offmap("algorithms", "show", name, "--json").out)
    answer = offmap("algorithms", "show", name)
    assert answer.code == 0
    for field in [*document["train"], *document["adapt"]]:
        assert field["description"], field["name"]
        assert field["name"] in answer.out


def test_show_gives_types_and_defaults(offmap):
    document = json.loads(offmap("algorithms", "show", "mier", "--json").out)
    fields = {field["name"]: field for field in [*document["train"], *document["adapt"]]}
    assert fields["predicts"]["type"] == "reward or dynamics"
    assert fields["policy_hidden"]["type"] == "list of int, above 0"
    assert fields["gate"]["type"] == "none or total or likelihood"
    assert fields["gate"]["default"] == "none"
    assert fields["stop_patience"]["type"] == "int, above 0 or none"
    assert fields["left_out_tasks"]["default"] == 0
    assert fields["discount"]["type"] == "float, above 0, at most 1"
    assert "paper" in document["presets"]


def test_unknown_algorithm(refused):
    assert "did you mean pearl" in refused("algorithms", "show", "paerl")
