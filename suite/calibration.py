"""What a training and its meta-tests will cost on this machine: from a cache of this user, or from timing them.

They are timed (`suite.run.timing`) in a process set up as a worker.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from suite.experiment.plugins import plugins_of
from suite.experiment.specs import MetatestSpec, TrainingSpec
from suite.results.json_files import read_json, write_json
from suite.run.processes import worker_environment
from suite.run.timing import Cost, configs
from tasks.spec import fingerprint


def estimate(
    training: TrainingSpec,
    metatest: MetatestSpec,
    device: str,
    on_timing: Callable[[str], None] = lambda undeclared: None,
) -> Cost:
    """The cost of a training and a meta-test of it on this machine.

    Where it has not been timed here before, `on_timing` is called first, with what has to be timed as a whole for want
    of a declaration, in words; empty if nothing has.

    Raises:
        RuntimeError: timing failed; the message holds what the process printed.
    """
    training = training.model_copy(update={"seed": 0})  # costs the same with every seed
    metatest = metatest.model_copy(update={"training": training.hash, "env_steps": 1, "is_final": True})
    request: dict[str, Any] = {
        "training": training.model_dump(mode="json"),
        "metatest": metatest.model_dump(mode="json"),
        "device": device,
        "versions": [version("torch"), version("mujoco")],
    }
    plugins = plugins_of([metatest.algorithm], training.family)
    if plugins:  # what an edited one costs is timed again
        request["plugins"] = [
            (str(plugin.path) if plugin.is_file else plugin.module, plugin.digest) for plugin in plugins
        ]
    cached = cache_folder() / f"{socket.gethostname()}-{fingerprint(request)}.json"
    try:
        return Cost.model_validate(read_json(cached))
    except (OSError, ValueError):
        on_timing(_undeclared(training, metatest))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "suite.run.timing"],
        input=json.dumps(request), capture_output=True, text=True, env=worker_environment(), check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"timing {metatest.algorithm} on {metatest.split.full_name} failed:\n{done.stderr}")
    cost = Cost.model_validate_json(done.stdout.splitlines()[-1])
    cached.parent.mkdir(parents=True, exist_ok=True)
    write_json(cached, cost.model_dump(mode="json"))
    return cost


def _undeclared(training: TrainingSpec, metatest: MetatestSpec) -> str:
    """What of a training and a meta-test is timed as a whole, since its configuration does not say what it is made of.

    A cost that there is not need not be declared.
    """
    train, adapt = configs(training, metatest)
    updates = adapt.capped_updates(metatest.protocol.max_updates)
    whole = {
        "iterations": train.gradient_steps is None and bool(train.first_steps(len(training.train_tasks))),
        "adaptations": adapt.updates_per_round is None and updates > 0,
    }
    return " and ".join(name for name, is_whole in whole.items() if is_whole)


def cache_folder() -> Path:
    """Where timings are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offmap" / "calibration"
