"""Policies in files: the three kinds are loaded and act, and what does not fit is one sentence with the mend."""

import json
import re
import sys
import types
import warnings
import zipfile

import gymnasium
import numpy as np
import pytest
import torch

from algorithms.elsewhere.files import locate_policy, use_policy_folder
from algorithms.elsewhere.loading import Policy, load_policy, refuse_unfit
from suite.errors import UserError
from tasks.spec import SpaceSpec

SPACES = SpaceSpec(observation_dim=3, action_dim=1, horizon=20)
OBSERVATIONS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def scripted(path, network):
    """A network in a file of TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(str(path))
    return path


class Tanh(torch.nn.Module):
    """A linear policy."""

    def __init__(self, observations=3, actions=1):
        super().__init__()
        self.layer = torch.nn.Linear(observations, actions)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, observations):
        return torch.tanh(self.dropout(self.layer(observations)))


def tried(path, attribute="", spaces=SPACES):
    """The policy in a file, after all that is looked at."""
    name = f"{path.name}:{attribute}" if attribute else path.name
    policy = Policy(name, load_policy(name, path.parent, spaces), spaces, path)
    refuse_unfit(policy, OBSERVATIONS[:, : spaces.observation_dim])
    return policy


def python(folder, text):
    path = folder / "mine.py"
    path.write_text("import numpy as np\n" + text)
    return path


def test_a_function_and_a_class_of_a_file(tmp_path):
    path = python(tmp_path, """
def act(observations):
    return np.clip(observations[:, :1], -1, 1)

class Act:
    scale = 0.5

    def __call__(self, observations):
        return self.scale * act(observations)
""")  # fmt: skip
    wanted = np.clip(OBSERVATIONS[:, :1], -1, 1)
    assert np.array_equal(tried(path, "act")(OBSERVATIONS), wanted)
    assert tried(path, "Act")(OBSERVATIONS) == pytest.approx(wanted / 2)


def test_a_file_reads_what_lies_beside_it(tmp_path):
    np.save(tmp_path / "weights.npy", np.full((3, 1), 0.1))
    path = python(tmp_path, """
from pathlib import Path
weights = np.load(Path(__file__).parent / "weights.npy")
def act(observations):
    return np.tanh(observations @ weights)
""")  # fmt: skip
    assert tried(path, "act")(OBSERVATIONS) == pytest.approx(np.tanh(0.1 * OBSERVATIONS.sum(1, keepdims=True)))


def test_torchscript_acts_as_the_network_does_without_its_dropout(tmp_path):
    network = Tanh()
    path = scripted(tmp_path / "policy.pt", network)
    wanted = network.eval()(torch.from_numpy(OBSERVATIONS)).detach().numpy()
    assert np.array_equal(tried(path)(OBSERVATIONS), wanted)


def test_the_identity_is_that_of_all_files_and_of_what_they_hold(tmp_path):
    path, weights = python(tmp_path, "def act(observations): ..."), tmp_path / "weights.npy"
    weights.write_bytes(b"1")
    alone, both = locate_policy(f"{path}:act"), locate_policy(f"{path}:act", [str(weights)])
    assert alone.name == both.name == "mine.py:act"
    assert [*both.files] == ["mine.py", "weights.npy"]
    digests = [alone.digest, both.digest]
    weights.write_bytes(b"2")
    digests.append(locate_policy(f"{path}:act", [str(weights)]).digest)
    assert len({*digests}) == 3
    assert use_policy_folder(tmp_path) == digests[-1]


@pytest.mark.parametrize(("text", "said"), [
    ("def act(observations): return observations[:, 0]",
     r"gave actions of shape \(4,\) where \(row, action\) = \(4, 1\) is needed: it is given .* at once, \(4, 3\)"),
    ("def act(observations): return np.zeros(1)", r"gave actions of shape \(1,\)"),
    ("def act(observations): return np.full((len(observations), 1), np.nan)", "not finite, in row 0"),
    ("def act(observations): return np.full((len(observations), 1), -1.5)",
     r"gave an action of -1.5; actions are in \[-1, 1\]: scale them, or clip them"),
    ("def act(observations):\n    return observations @ np.zeros((17, 1))",
     r"failed for 4 rows of 3 numbers \(mine.py, line 3\): ValueError: matmul"),
    ("def act(observations): return None", "mine.py:act returned nothing; let it return the"),
    ("def act(observations): return 'left'", "failed for 4 rows .*could not convert string"),
    ("def act(observations): return np.random.default_rng().uniform(-1, 1, (len(observations), 1))",
     "differently each time; evaluated episodes are deterministic: give the mean"),
    ("def act(observations): return np.tanh(observations - observations.mean(0))[:, :1]",
     "differently alone and beside others"),
    ("def atc(observations): ...", "mine.py:act: the file has no 'act'; did you mean atc"),
    ("def policy(observations): ...\nclass Net: ...", "has no 'act'; it defines policy, Net"),
    ("act = 3", "mine.py:act is int, and cannot be called; a policy is a function"),
    ("class act:\n    def __init__(self, size): ...", r"cannot be made without arguments: TypeError: .*'size'"),
    ("class act:\n    pass", "mine.py:act is act, and cannot be called"),
    ("import my_networks", r"cannot be imported \(mine.py, line 2\): ModuleNotFoundError.*has to be installed"),
    ("open('weights.npy')", r"cannot be imported \(mine.py, line 2\): FileNotFoundError.*--with FILE"),
    ("def act(observations:", r"cannot be imported \(mine.py, line 2\): SyntaxError"),
    ("raise SystemExit(2)", r"cannot be imported \(mine.py, line 2\): RuntimeError: it calls sys.exit\(2\), which"),
    ("def act(observations):\n    exit()", r"failed for 4 rows of 3 numbers \(mine.py, line 3\): RuntimeError: it"),
    ("raise SystemError", r"cannot be imported \(mine.py, line 2\): SystemError: without a message"),
])  # fmt: skip
def test_a_file_of_python_that_does_not_fit_is_one_sentence(tmp_path, text, said):
    with pytest.raises(UserError, match=said) as raised:
        tried(python(tmp_path, text), "act")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("write", "said"), [
    (lambda path: scripted(path, Tanh(observations=17)),
     r"it cannot act on 3 numbers in float32: mat1 and mat2 shapes cannot be multiplied \(4x3 and 17x1\); it has"),
    (lambda path: scripted(path, Tanh().double()), r"must have the same dtype.*\(`network.float\(\)`\) before it"),
    (lambda path: scripted(path, Tanh(actions=6)), r"gave actions of shape \(4, 6\) where"),
    (lambda path: torch.save(Tanh().state_dict(), path), "of weights alone .*torch.jit.script.*or give file.py:func"),
    (lambda path: path.write_bytes(b"no archive"), "no policy that can be read; give file.py:function, a .zip of"),
    (lambda path: path.write_bytes(scripted(path, Tanh()).read_bytes()[:-700]), "no policy that can be read"),
])  # fmt: skip
def test_a_network_that_does_not_fit_is_one_sentence(tmp_path, write, said):
    path = tmp_path / "policy.pt"
    write(path)
    with pytest.raises(UserError, match=said) as raised:
        tried(path)
    assert "\n" not in str(raised.value)


def test_a_network_that_gives_more_than_actions_is_told_so(tmp_path):
    class Pair(Tanh):
        def forward(self, observations):
            return self.layer(observations), self.layer(observations)

    with pytest.raises(UserError, match="gives a tuple, and not a tensor of actions"):
        tried(scripted(tmp_path / "policy.pt", Pair()))


@pytest.mark.parametrize(("given", "beside", "said"), [
    ("mien.py:act", [], "there is no file .*mien.py; did you mean .*mine.py"),
    ("mine.py", [], "say which function of the file it is, .*mine.py:NAME; it defines act"),
    ("mine.py:act", ["weights.npy"], "there is no file .*weights.npy"),
    ("mine.py:act", ["mine.py"], "two of its files have one name"),
    ("best.zip", [], "there is no file .*best.zip; a policy is file.py:function, a .zip of stable-baselines3"),
])  # fmt: skip
def test_files_that_are_not_there_are_named(tmp_path, given, beside, said):
    python(tmp_path, "def act(observations): ...")
    with pytest.raises(UserError, match=said):
        locate_policy(str(tmp_path / given), [str(tmp_path / name) for name in beside])


# --- stable-baselines3, which nothing here depends on ---


class SavedPolicy:
    """What acts in a saved model: here the first two observations' difference, on the scale of its actions."""

    def __init__(self, seen, done, schedule, **arguments):
        self.arguments = arguments

    def load_state_dict(self, weights):
        self.weights = weights

    def set_training_mode(self, mode):
        assert mode is False

    def predict(self, observations, deterministic):
        assert deterministic
        assert self.arguments == {"net_arch": [8]}
        return self.weights["scale"] * np.tanh(observations[:, :1] - observations[:, 1:2]), None


def saved(folder, monkeypatch, **data):
    """A model in a file, and a package in place of stable-baselines3 that reads it."""
    box = gymnasium.spaces.Box
    content = {
        "policy_class": SavedPolicy, "policy_kwargs": {"net_arch": [8]}, "use_sde": False,
        "observation_space": box(-1, 1, (3,)), "action_space": box(-2, 2, (1,)),
    } | data  # fmt: skip
    reader = types.ModuleType("stable_baselines3.common.save_util")
    reader.load_from_zip_file = lambda path, device, custom_objects: (
        {name: value for name, value in content.items() if value is not None}, {"policy": {"scale": 2.0}}, None
    )  # fmt: skip
    for name in ("stable_baselines3", "stable_baselines3.common"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.save_util", reader)
    return archive(folder)


def archive(folder):
    """A file with the members of a saved model."""
    path = folder / "sac.zip"
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("data", json.dumps({}))
        written.writestr("policy.pth", b"")
    return path


def test_a_saved_model_acts_deterministically_on_the_scale_of_its_actions(tmp_path, monkeypatch):
    policy = tried(saved(tmp_path, monkeypatch))
    wanted = np.tanh(OBSERVATIONS[:, :1] - OBSERVATIONS[:, 1:2])
    assert policy(OBSERVATIONS) == pytest.approx(wanted, abs=1e-6), "2 tanh in [-2, 2] is tanh in [-1, 1]"


@pytest.mark.parametrize(("data", "said"), [
    ({"observation_space": gymnasium.spaces.Box(-1, 1, (17,))}, r"observations Box.*17.*the family has 3 numbers"),
    ({"action_space": gymnasium.spaces.Discrete(4)}, r"with the actions Discrete\(4\), and the family has 1"),
    ({"policy_class": type("RecurrentActorCriticPolicy", (), {})}, "it keeps a memory"),
    ({"policy_class": None}, "if the model is one of sb3-contrib, pip install sb3-contrib"),
    ({"policy_kwargs": None}, r"stable-baselines3 cannot load it.*KeyError: 'policy_kwargs'"),
])  # fmt: skip
def test_a_saved_model_that_does_not_fit_is_one_sentence(tmp_path, monkeypatch, data, said):
    with pytest.raises(UserError, match=said):
        tried(saved(tmp_path, monkeypatch, **data))


def test_a_saved_model_without_the_package_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(UserError, match=re.escape("pip install stable-baselines3")):
        tried(archive(tmp_path))


@pytest.mark.parametrize("kind", ["SAC", "TD3", "PPO", "A2C"])
def test_a_model_of_the_real_package_acts_as_it_says(tmp_path, kind):
    package = pytest.importorskip("stable_baselines3")
    model = getattr(package, kind)("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, seed=0, device="cpu")
    model.save(tmp_path / "model.zip")
    wanted = model.predict(OBSERVATIONS, deterministic=True)[0] / 2  # torques are up to 2
    assert tried(tmp_path / "model.zip")(OBSERVATIONS) == pytest.approx(wanted, abs=1e-6)
