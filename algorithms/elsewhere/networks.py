"""Policies that are networks in files of TorchScript and of stable-baselines3."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import UserError, in_words
from tasks.spec import Act, SpaceSpec


def of_torchscript(path: Path) -> Act:
    """A network that maps observations (row, observation) to actions (row, action)."""
    import torch

    with warnings.catch_warnings(), in_words(f"policy {path.name}: it is no TorchScript that this torch reads", path):
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(str(path), map_location="cpu").eval()

    def act(observations: np.ndarray) -> np.ndarray:
        try:
            with torch.no_grad():
                actions = network(torch.from_numpy(observations))
        except RuntimeError as error:  # of which the last line is the error, and the rest a trace of generated code
            reason = str(error).strip().splitlines()[-1].removeprefix("RuntimeError: ")
            raise UserError(
                f"policy {path.name}: it cannot act on {observations.shape[1]} numbers in float32: {reason}; it has to "
                "be trained on observations of this family, and be float32 (`network.float()`) before it is scripted"
            ) from error
        if not isinstance(actions, torch.Tensor):
            raise UserError(
                f"policy {path.name}: it gives a {type(actions).__name__}, and not a tensor of actions (row, action): "
                "script a module whose `forward` returns the actions alone"
            )
        return actions.numpy()

    return act


def of_stable_baselines(path: Path, spaces: SpaceSpec) -> Act:
    """The policy of a saved model, deterministic, its actions scaled from the bounds that it was trained with."""
    try:
        from stable_baselines3.common.save_util import load_from_zip_file
    except ImportError:
        raise UserError(
            f"policy {path.name}: it is a model of stable-baselines3, which is not installed here: "
            "pip install stable-baselines3"
        ) from None
    unused = dict.fromkeys(("learning_rate", "lr_schedule", "clip_range", "clip_range_vf"), _nothing)
    with warnings.catch_warnings(), in_words(f"policy {path.name}: stable-baselines3 cannot load it", path):
        warnings.simplefilter("ignore")
        data, parameters, _ = load_from_zip_file(path, device="cpu", custom_objects=unused)
        if "policy_class" not in data:
            raise UserError(
                f"policy {path.name}: the class of its policy cannot be loaded; if the model is one of sb3-contrib, "
                "pip install sb3-contrib"
            )
        kind, seen, done = data["policy_class"], data["observation_space"], data["action_space"]
        _refuse_model(f"policy {path.name}", kind.__name__, seen, done, spaces)
        own = dict(data["policy_kwargs"])
        if data.get("use_sde"):
            own["use_sde"] = True
        policy = kind(seen, done, _nothing, **own)
        policy.load_state_dict(parameters["policy"])
        policy.set_training_mode(False)
    low, high = done.low.astype(np.float64), done.high.astype(np.float64)

    def act(observations: np.ndarray) -> np.ndarray:
        actions, _ = policy.predict(observations, deterministic=True)
        if (low == -1).all() and (high == 1).all():
            return np.asarray(actions)
        return np.asarray(2 * (actions - low) / (high - low) - 1)

    return act


def _nothing(progress: float) -> float:
    """A schedule that is never asked, as nothing is trained."""
    del progress
    return 0.0


def _refuse_model(what: str, kind: str, seen: Any, done: Any, spaces: SpaceSpec) -> None:
    """Nothing, if a model acts on what a family shows.

    Raises:
        UserError: it does not, or it keeps a memory.
    """
    if kind.startswith("Recurrent"):
        raise UserError(f"{what}: it keeps a memory ({kind}), and a policy is a function of observations alone")
    sizes = (("observations", seen, spaces.observation_dim), ("actions", done, spaces.action_dim))
    for name, space, size in sizes:
        if getattr(space, "shape", None) != (size,) or not hasattr(space, "low"):
            raise UserError(
                f"{what}: it was trained with the {name} {space}, and the family has {size} numbers; train it on "
                'gymnasium.make("offmap:offmap/...") of this family'
            )
