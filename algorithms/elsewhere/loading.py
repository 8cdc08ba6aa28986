"""From the file of a policy to something that acts, and to one sentence where that fails."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.elsewhere.files import KINDS, defined_in
from algorithms.elsewhere.networks import of_stable_baselines, of_torchscript
from tasks.errors import UserError, in_words
from tasks.plugins import PREFIX, Plugin, imported, remember
from tasks.spec import SpaceSpec

TOLERANCE = 1e-3
"""Between two answers that are the same but for the order of sums, and beyond the bounds of actions."""


def load_policy(name: str, folder: Path, spaces: SpaceSpec) -> Any:
    """The policy of that name (`PolicyFile.name`) among the files of a folder: a function, maybe with `adapt`.

    Raises:
        UserError: it cannot be loaded, or was made for observations or actions of another size.
    """
    file, _, attribute = name.partition(":")
    if attribute:
        return _of_python(folder / file, attribute)
    try:
        with zipfile.ZipFile(folder / file) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile:
        raise UserError(f"policy {name}: it is no policy that can be read; give {KINDS}") from None
    if "data" in members and "policy.pth" in members:
        return of_stable_baselines(folder / file, spaces)
    if any(member.endswith("/constants.pkl") for member in members):
        return of_torchscript(folder / file)
    raise UserError(
        f"policy {name}: it is neither of stable-baselines3 nor TorchScript; of weights alone (torch.save) nobody can "
        "tell the network: save it with torch.jit.script(network).save(...), or give file.py:function, which builds "
        "the network and loads them"
    )


def _of_python(path: Path, attribute: str) -> Any:
    """A function of a file, or an object of a class of it that is made without arguments."""
    what = f"policy {path.name}:{attribute}"
    folder = hashlib.sha256(str(path.parent.resolve()).encode()).hexdigest()[:12]
    plugin = Plugin(path.name, f"{PREFIX}{path.stem}_{folder}", path)
    remember(plugin)
    with in_words(f"policy {path.name} cannot be imported", path, mend):
        module = imported(plugin.module)
    if not hasattr(module, attribute):
        raise UserError(f"{what}: the file has no {attribute!r}; {defined_in(path, attribute)}")
    policy = getattr(module, attribute)
    if isinstance(policy, type):
        with in_words(f"{what} cannot be made without arguments", path, mend):
            policy = policy()
    if not callable(policy):
        raise UserError(
            f"{what} is {type(policy).__name__}, and cannot be called; a policy is a function from observations (row, "
            "observation) to actions (row, action), or a class with `__call__`"
        )
    return policy


def mend(error: Exception) -> str:
    """What to do where the file of a policy does not find what it needs."""
    if isinstance(error, FileNotFoundError):
        return "; give the files that it reads too (--with FILE), and let it look beside itself (Path(__file__).parent)"
    if isinstance(error, ModuleNotFoundError):
        return "; a file stands alone: what it imports has to be installed"
    return ""


class Policy:
    """A policy whose answers are looked at: what is no action of the family is the user's mistake, in one sentence."""

    def __init__(self, name: str, function: Any, spaces: SpaceSpec, path: Path | None = None) -> None:
        """`path` is the file that it is from."""
        self.name, self.function, self.spaces, self.path = name, function, spaces, path

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (row, action) float32 in [-1, 1] for observations (row, observation) float32.

        Raises:
            UserError: it fails, or gives something else.
        """
        return self.checked(lambda: self.function(observations.copy()), len(observations), "")

    def checked(self, answer: Callable[[], Any], rows: int, where: str) -> np.ndarray:
        """What a function of the policy answers, as actions; `where` says which it is.

        Raises:
            UserError: it fails, or is something else.
        """
        what, shape = f"policy {self.name}{where}", (rows, self.spaces.action_dim)
        with in_words(f"{what} failed for {rows} rows of {self.spaces.observation_dim} numbers", self.path, mend):
            given = answer()
            actions = np.asarray(given, np.float32)
        if given is None:
            raise UserError(f"{what} returned nothing; let it return the actions (row, action)")
        if actions.shape != shape:
            raise UserError(
                f"{what} gave actions of shape {actions.shape} where (row, action) = {shape} is needed: it is given "
                f"the observations of all rows at once, ({rows}, {self.spaces.observation_dim})"
            )
        if not np.isfinite(actions).all():
            raise UserError(f"{what} gave an action that is not finite, in row {_first(~np.isfinite(actions))}")
        if (np.abs(actions) > 1 + TOLERANCE).any():
            largest = float(actions.flat[np.abs(actions).argmax()])
            raise UserError(
                f"{what} gave an action of {largest:.4g}; actions are in [-1, 1]: scale them, or clip them with "
                "numpy.clip(actions, -1, 1)"
            )
        return actions.clip(-1.0, 1.0)


def _first(rows: np.ndarray) -> int:
    return int(np.flatnonzero(rows.any(axis=1))[0])


def refuse_unfit(policy: Policy, observations: np.ndarray) -> None:
    """Nothing, if a policy answers observations (row, observation) with actions, one row as it does many, each time.

    Raises:
        UserError: it does not.
    """
    first, again = policy(observations), policy(observations)
    if np.abs(first - again).max() > TOLERANCE:
        raise UserError(
            f"policy {policy.name} answers the same observations differently each time; evaluated episodes are "
            "deterministic: give the mean or the most likely action"
        )
    if np.abs(first[:1] - policy(observations[:1])).max() > TOLERANCE:
        raise UserError(
            f"policy {policy.name} answers an observation differently alone and beside others; no row may depend on "
            "another (such as by batch normalisation that still learns)"
        )
