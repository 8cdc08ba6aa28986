"""Results folders made of invented numbers, for the tests of reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from suite.results.records import DIAGNOSTICS_SCHEMA, METRICS_SCHEMA, SCHEMA, write_table

SPLIT = "cheetah-velocity.hard"
TRAINED = [0.02, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.35, 1.48]


def row(**given):
    """One record; everything that is not given is that of a final result of `mier`, seed 0, task 0."""
    defaults = {
        "run": "r0", "training": "t0", "algorithm": given.get("variant", "mier"), "variant": "mier",
        "family": "cheetah-velocity", "split": SPLIT, "split_hash": "s" * 12, "protocol_hash": "p" * 12,
        "seed": 0, "env_steps": 1000, "is_final": True, "task_list": "test", "task": 0, "parameter": 2.5,
        "phase": "after", "update": 0, "transitions": 200, "episode": 0, "return": 0.0, "length": 200,
        "terminated": False, "cut": False,
    }  # fmt: skip
    return defaults | given


def document(variant="mier", seed=0, split=SPLIT, **given):
    """The metadata of a records file."""
    defaults = {
        "run": f"{variant}-{split}-{seed}", "training": f"t-{variant}-{seed}", "algorithm": variant,
        "variant": variant, "seed": seed, "protocol_hash": "p" * 12,
        "split": {
            "full_name": split, "hash": "s" * 12, "shift": "out_of_distribution",
            "description": "Target speeds above those trained on.", "drawn": "private generator, seed 1337",
            "axis": "target_velocity", "axis_unit": "m/s", "train_axis_values": TRAINED,
            "test_lists": {"test": [2.5, 2.7], "test_id": [0.3, 1.2]}, "adaptation_transitions": 200,
            "references": {"null": -500.0, "ceiling": -100.0},
        },
        "protocol": {"name": "default", "evaluation_episodes": 3, "max_updates": 2000, "chunk": 500},
        "config": {"train": {"learning_rate": 0.001, "precision": "float32"}, "adapt": {"updates": 2000}},
        "budget_env_steps": 1000, "env_steps": 1000, "adaptation": {"updates": 2000},
        "cost": {
            "train_wall_seconds": 5400.0, "metatest_wall_seconds": 300.0, "train_env_steps": 1000,
            "adaptation_env_steps": 400, "evaluation_env_steps": 4800,
        },
        "provenance": {
            "git_revision": "0123456789abcdef", "git_dirty": False, "host": "node1", "cpu": "a processor",
            "device": "cpu", "threads": 1, "command": "offmap run experiment.yaml",
            "versions": {"mujoco": "4.0.0", "torch": "2.13.0"},
        },
    }  # fmt: skip
    return defaults | given


def write_run(folder: Path, rows, metadata) -> Path:
    """A records file in a folder named after the run."""
    path = folder / metadata["training"] / metadata["run"] / "records.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    filled = [
        {"run": metadata["run"], "training": metadata["training"], "seed": metadata["seed"]} | given for given in rows
    ]
    write_table(path, [row(**given) for given in filled], SCHEMA, metadata)
    return path


def simple_run(folder: Path, variant: str, seed: int, test, test_id=None, before=None, split=SPLIT, **meta) -> Path:
    """A run whose result on each list is given as returns (task, episode)."""
    metadata = document(variant, seed, split, **meta)
    rows = []
    for task_list, phase, returns in (
        ("test", "after", test),
        ("test_id", "after", test_id),
        ("test", "before", before),
    ):
        for task, episodes in enumerate(returns if returns is not None else []):
            rows += [
                {"variant": variant, "split": split, "task_list": task_list, "phase": phase, "task": task,
                 "parameter": (2.5, 2.7, 2.9)[task] if task_list == "test" else (0.3, 1.2, 1.4)[task],
                 "episode": episode, "return": value, "protocol_hash": metadata["protocol_hash"],
                 "split_hash": metadata["split"]["hash"]}
                for episode, value in enumerate(episodes)
            ]  # fmt: skip
    return write_run(folder, rows, metadata)


def write_cells(folder: Path, cells) -> None:
    """A grid: (variant, split, seed, run, status, reason) each."""
    keys = ("variant", "split", "seed", "run", "status", "reason")
    listed = [dict(zip(keys, cell)) | {"algorithm": cell[0]} for cell in cells]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cells.json").write_text(json.dumps(listed))


# A rich folder, shaped like real results: what a person looks at to judge the figures.

LEVELS = {  # before, first chunk, last chunk (out of distribution); in-distribution offset
    "mier": (-540, -430, -180, 110), "mier-wr": (-540, -420, -420, 350), "pearl": (-520, -390, -390, 330),
    "mql": (-530, -400, -300, 200), "maml": (-480, -440, -440, 250), "promp": (-500, -470, -470, 200),
    "rl2": (-450, -410, -410, 300), "grbal": (-530, -500, -500, 100),
}  # fmt: skip


def rich_folder(folder: Path, variants=tuple(LEVELS), seeds=(0, 1, 2), splits=(SPLIT,), num_tasks=10) -> None:
    """Runs with checkpoints on the way, adaptation curves, training metrics and, for mier, a gate."""
    cells = []
    for split in splits:
        for variant in variants:
            for seed in seeds:
                if variant == "grbal":
                    cells.append((variant, split, seed, None, "unsupported", "rewards vary: it plans with known ones"))
                elif variant == "promp" and seed == seeds[-1]:
                    cells.append((variant, split, seed, None, "failed", "out of memory"))
                else:
                    cells.append((variant, split, seed, f"{variant}-{split}-{seed}", "done", None))
                    _rich_run(folder, variant, seed, split, num_tasks)
    write_cells(folder, cells)


def _rich_run(folder: Path, variant, seed, split, num_tasks) -> None:
    generator = np.random.default_rng([seed, sorted(LEVELS).index(variant), len(split)])
    before, first, last, offset = LEVELS[variant]
    shared = {"mier-wr": "mier"}.get(variant, variant)
    axis = split.startswith("cheetah-velocity")
    updates = {"mier": range(0, 2001, 250), "mql": range(0, 501, 250)}.get(variant, (0,))
    shift = generator.normal(0, 25)
    for env_steps in (125_000, 250_000, 375_000, 500_000):
        final = env_steps == 500_000
        metadata = document(
            variant, seed, split, training=f"t-{shared}-{seed}", budget_env_steps=500_000, env_steps=env_steps
        )
        metadata["run"] += "" if final else f"-{env_steps}"
        metadata["cost"] |= {"train_wall_seconds": 0.02 * env_steps, "train_core_minutes": 2e-4 * env_steps}
        if not axis:
            metadata["split"] = metadata["split"] | {"train_axis_values": None}
        progress = 0.35 + 0.65 * env_steps / 500_000
        rows = []
        for task_list in ("test", "test_id"):
            for task in range(num_tasks if final else num_tasks // 2):
                parameter = (2.5 + 0.5 * task / num_tasks) if task_list == "test" else 0.1 + 1.3 * task / num_tasks
                slope = -80 * task / num_tasks if task_list == "test" else -15 * task / num_tasks
                points = [("before", 0, before), ("collect", 0, before)]
                for update in updates:
                    share = 1 - np.exp(-3 * update / updates[-1]) if len(updates) > 1 else 1
                    phase = "after" if update == updates[-1] else "during"
                    points.append((phase, update, first + (last - first) * share))
                for phase, update, level in points:
                    level = level + (offset if task_list == "test_id" else 0) + slope + shift
                    for episode in range(1 if phase == "collect" else 3):
                        value = -560 + (level + 560) * progress + generator.normal(0, 12)
                        rows.append({
                            "variant": variant, "split": split, "env_steps": env_steps, "is_final": final,
                            "task_list": task_list, "task": task, "parameter": parameter if axis else float("nan"),
                            "phase": phase, "update": update, "episode": episode, "return": value,
                            "transitions": 0 if phase == "before" else 200,
                        })  # fmt: skip
        path = write_run(folder, rows, metadata)
    if variant == "mier":
        gate = [
            {"run": metadata["run"], "variant": variant, "split": split, "seed": seed, "env_steps": 500_000,
             "task_list": task_list, "task": task, "update": 0, "name": name, "value": value}
            for task_list in ("test", "test_id") for task in range(num_tasks)
            for loss in [generator.normal(-4 + 3.5 * task / num_tasks, 0.6)]
            for name, value in (("held_out_loss", loss), ("gate_open", float(loss < -3)))
        ]  # fmt: skip
        write_table(path.with_name("diagnostics.parquet"), gate, DIAGNOSTICS_SCHEMA, {})
    steps = np.arange(20_000, 500_001, 5_000)
    curve = -560 + (first + offset + 560) * (1 - np.exp(-steps / 120_000)) + shift + generator.normal(0, 14, len(steps))
    metrics = [
        {"training": f"t-{shared}-{seed}", "algorithm": shared, "split": split, "seed": seed, "env_steps": int(step),
         "wall_seconds": step / 100, "name": "return", "value": value}
        for step, value in zip(steps, curve)
    ]  # fmt: skip
    write_table(path.parent.parent / "metrics.parquet", metrics, METRICS_SCHEMA, {})


def write_gate(records: Path, run: str, losses, threshold: float | None, loss_name: str = "held_out_loss") -> None:
    """Diagnostics next to a records file: the held-out loss of each test task and, with a threshold, its gate."""
    rows = [
        {"run": run, "variant": "mier", "split": SPLIT, "seed": 0, "env_steps": 1000, "task_list": "test",
         "task": task, "update": 0, "name": name, "value": value}
        for task, loss in enumerate(losses)
        for name, value in ((loss_name, loss), *([("gate_open", float(loss < threshold))] if threshold else []))
    ]  # fmt: skip
    write_table(records.with_name("diagnostics.parquet"), rows, DIAGNOSTICS_SCHEMA, {})
