"""All work of one training folder, in one process: `python -P -m suite.run.worker FOLDER`.

Reads everything it needs from the folder, continues from the newest whole checkpoint, runs the meta-tests that have
no records yet, and leaves with 0 when done, 1 when failed, 2 when the user has to do something first, 75 when asked to
end (SIGTERM), with all that was done kept, and 77 when another process works on the folder; `status.json` tells what
happened.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from algorithms.base import Diverged
from algorithms.registry import SCORED, training_entry
from suite.errors import UserError
from suite.experiment.code_identity import code_of
from suite.experiment.plugins import advice, use_installed_plugins, use_kept_plugins
from suite.experiment.specs import Execution
from suite.results.collect import metrics_table
from suite.results.json_files import read_json
from suite.results.layout import metatest_folders, refuse_altered
from suite.results.lock import Owned, owned
from suite.results.provenance import provenance, write_provenance
from suite.results.status import DIVERGED, JOB, Status
from suite.run.compute import product_rate
from suite.run.metadata import describe
from suite.run.metatest import run_metatest
from suite.run.processes import STOPPED, TAKEN, end_with_parent
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.saving.recovery import discard_partials
from suite.run.saving.steady_files import DISK_FAILS, DISK_FULL
from suite.run.stop_signals import Stop, Stopped, listening
from suite.run.stored_specs import PendingMetatest, pending_metatests, read_execution, read_training_spec
from suite.run.training import Training, open_at_budget, train
from tasks.errors import staying
from tasks.plugins import Plugin, in_one_line

PATIENCE_SECONDS = 120.0  # that a job's worker waits for one of an earlier job that was asked to end


def main(arguments: list[str]) -> int:
    """Exit status of the work on one folder."""
    end_with_parent()
    if len(arguments) != 1:
        print("usage: python -P -m suite.run.worker FOLDER", file=sys.stderr)
        return 2
    return work(Path(arguments[0]))


def work(folder: Path) -> int:
    """All work of a training folder that is left, in this process; its exit status. What every executor runs."""
    torch.set_num_threads(1)
    use_installed_plugins()
    try:
        patience = PATIENCE_SECONDS if JOB in os.environ else 0.0  # at a terminal it is refused at once
        with listening() as stop, owned(folder, patience=patience) as ownership:
            refuse_altered(folder)

            def asked_to_stop() -> bool:
                ownership.end_if_lost()
                return stop.requested()

            status = Status(folder)
            status.write()
            ownership.write_at_beats(status.write)
            return _work(folder, status, stop, asked_to_stop)
    except Stopped:  # before the work began, or after it
        return STOPPED
    except Owned as error:
        _say(str(error))
        return TAKEN
    except UserError as error:
        _say(str(error))
    except OSError as error:
        if error.errno not in (*DISK_FULL, *DISK_FAILS):
            raise
        _say(_disk_full(folder, error) if error.errno in DISK_FULL else _disk_fails(folder, error))
    return 2


def _work(folder: Path, status: Status, stop: Stop, asked_to_stop: Callable[[], bool]) -> int:
    plugins: list[Plugin] = []
    try:
        execution = read_execution(folder)
        plugins = use_kept_plugins(execution.plugins, folder.parent)
        left = pending_metatests(folder)
        require_device(execution.device)
        command = f"python -P -m suite.run.worker {folder.name}"  # a folder's name: records name no machine's paths
        device = execution.device if execution.device == "cpu" else torch.cuda.get_device_name(execution.device)
        made_by = provenance(command, device, torch.get_num_threads(), _code_of(folder), round(product_rate(), 1))
        made_by |= _policy_of(folder)
        write_provenance(folder / "provenance.json", made_by)
        with staying():
            with stop.postponed():
                train(folder, execution, status, asked_to_stop)
            run_metatests(folder, left, execution, status)
    except Stopped:
        discard_partials(folder)
        message = f"asked to end at env step {status.env_steps}; what was done by then is kept"
        return _ended(status, "stopped", STOPPED, message)
    except Diverged as error:
        message = f"{DIVERGED}: {error}, near env step {status.env_steps}"
        return _failed(status, 1, message + advice(error, plugins))
    except UserError as error:
        return _failed(status, 2, str(error))
    except OSError as error:
        if error.errno in DISK_FULL:
            return _failed(status, 2, _disk_full(folder, error))
        if error.errno in DISK_FAILS:
            return _failed(status, 2, _disk_fails(folder, error))
        return _unforeseen(status, error, plugins)
    except Exception as error:
        return _unforeseen(status, error, plugins)
    status.write(state="done", stage="done")
    return 0


def _code_of(folder: Path) -> dict[str, Any]:
    """The code that the results of a training folder depend on."""
    training = read_training_spec(folder)
    tested = [read_json(below / "config.json")["algorithm"] for below in metatest_folders(folder)]
    return code_of([training_entry(training.algorithm).name, *tested], training.family)


def _policy_of(folder: Path) -> dict[str, Any]:
    """Under `policy`, which policy from elsewhere is tested and the SHA-256 of each of its files; else nothing."""
    training = read_training_spec(folder)
    if training.algorithm not in SCORED:
        return {}
    return {"policy": {name: training.config[name] for name in ("policy", "files")}}


def _failed(status: Status, code: int, message: str) -> int:
    return _ended(status, "failed", code, message)


def _ended(status: Status, state: str, code: int, message: str) -> int:
    status.write(state=state, message=message)
    _say(message)
    return code


def _unforeseen(status: Status, error: Exception, plugins: Sequence[Plugin]) -> int:
    with contextlib.suppress(OSError):
        traceback.print_exc()
    status.write(state="failed", message=in_one_line(error) + advice(error, plugins))
    return 1


def _disk_fails(folder: Path, error: OSError) -> str:
    return (
        f"{error.filename or folder} could not be read or written: {error.strerror}. What was done by the last "
        "checkpoint is kept: see to the disk, then run again."
    )


def _disk_full(folder: Path, error: OSError) -> str:
    discard_partials(folder)
    newest = checkpoint_names(folder / "checkpoints")[-1:]
    kept = f"the checkpoint at env step {int(newest[0])}" if newest else "the beginning: there is no checkpoint yet"
    return (
        f"the disk is full: {error.filename or folder} could not be written. Nothing half-written is left: free "
        f"space, then run again to continue from {kept}."
    )


def _say(message: str) -> None:
    """On standard error, which may be a file on the disk that is full."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def require_device(device: str) -> None:
    """Nothing, if this machine has the device.

    Raises:
        UserError: it has not.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device: {device} was asked for, and there is no CUDA device here; set device: cpu")
    if ":" in device and int(device.partition(":")[2]) >= torch.cuda.device_count():
        raise UserError(f"device: {device} was asked for, and there are {torch.cuda.device_count()} CUDA devices here")


def run_metatests(folder: Path, left: Sequence[PendingMetatest], execution: Execution, status: Status) -> None:
    """The training's metrics as a table, then the meta-tests that are left.

    Raises:
        UserError: the checkpoint at the end of a meta-test's budget is not there.
    """
    unreadable = metrics_table(folder)  # before the last records, with which all is done
    if unreadable:
        status.note(f"{unreadable} lines of metrics.jsonl cannot be read; they are left out of the training curve")
    training: Training | None = None
    budget = None  # that it has been opened at the end of
    total = len(metatest_folders(folder))
    for done, (below, spec, variant, values) in enumerate(left, total - len(left)):
        if training is None or budget != spec.env_steps:
            training, budget = open_at_budget(folder, spec.env_steps, execution.device), spec.env_steps
        started = time.monotonic()

        def report(
            fraction: float, where: str = f"{variant} on {spec.split.name}", since: float = started, before: int = done
        ) -> None:
            seconds = time.monotonic() - since
            status.write(
                stage="meta-test", metatest=where, fraction=fraction, tested=(before + fraction) / total,
                remaining_seconds=seconds / fraction - seconds if fraction else None,
            )  # fmt: skip

        report(0.0)
        metadata = describe(folder, spec, training, variant, execution) | {"values": values}
        run_metatest(below, spec, training, metadata, report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
