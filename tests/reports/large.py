"""A results folder as large as those of a paper: eight algorithms, six splits, five seeds, 1,120 files of records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from synthetic import document, row, write_cells

from suite.results.records import DIAGNOSTICS_SCHEMA, METRICS_SCHEMA, SCHEMA, write_table

SPLITS = {  # whether it has an axis, and how hard it is: what is lost on it
    "cheetah-velocity.hard": (True, 0.35), "cheetah-velocity.medium": (True, 0.15), "ant-direction.ood": (True, 0.3),
    "ant-negated-joints.ood": (False, 0.45), "cheetah-negated-joints.ood": (False, 0.25),
    "walker-rand-params.ood": (False, 0.2),
}  # fmt: skip
LEVELS = {"mier": 0.75, "mier-wr": 0.5, "pearl": 0.48, "mql": 0.7, "maml": 0.4, "promp": 0.38, "rl2": 0.45,
          "grbal": 0.3}  # fmt: skip
STEPS = (100_000, 200_000, 300_000, 400_000, 500_000)
UPDATES = {"mier": tuple(range(0, 2001, 250)), "mql": (0, 250, 500)}


def large_folder(folder: Path, splits=tuple(SPLITS), seeds=range(5), steps=STEPS, num_tasks=30) -> None:
    """Results with the order of algorithms as in `LEVELS`; GrBAL runs on half of the splits, one ProMP failed."""
    cells = []
    for place, split in enumerate(splits):
        for variant in LEVELS:
            for seed in seeds:
                if variant == "grbal" and place % 2:
                    cells.append((variant, split, seed, None, "unsupported", "rewards vary: it plans with known ones"))
                elif (variant, place, seed) == ("promp", 1, seeds[-1]):
                    cells.append((variant, split, seed, None, "failed", "out of memory"))
                else:
                    cells.append((variant, split, seed, f"{variant}-{split}-{seed}", "done", None))
                    _write(folder, variant, split, seed, steps, num_tasks)
    write_cells(folder, cells)


def _write(folder: Path, variant: str, split: str, seed: int, steps, num_tasks: int) -> None:
    generator = np.random.default_rng([seed, sorted(LEVELS).index(variant), sorted(SPLITS).index(split)])
    has_axis, loss = SPLITS[split]
    training = f"t-{'mier' if variant == 'mier-wr' else variant}-{split}-{seed}"
    shift = generator.normal(0, 0.05)
    for env_steps in steps:
        final = env_steps == steps[-1]
        metadata = document(variant, seed, split, training=training, budget_env_steps=steps[-1], env_steps=env_steps)
        metadata["run"] += "" if final else f"-{env_steps}"
        metadata["cost"] |= {"train_wall_seconds": 0.02 * env_steps}
        metadata["split"] |= {} if has_axis else {"train_axis_values": None}
        level = LEVELS[variant] * (0.4 + 0.6 * env_steps / steps[-1])
        rows = []
        for task_list in ("test", "test_id"):
            for task in range(num_tasks if final else num_tasks // 3):
                place = task / num_tasks
                parameter = (2.5 + 0.5 * place if task_list == "test" else 1.5 * place) if has_axis else float("nan")
                for phase, update in _phases(variant, final):
                    share = {"before": 0.5, "collect": 0.5}.get(
                        phase, 0.8 + 0.2 * update / UPDATES.get(variant, (1,))[-1]
                    )
                    score = level * share * (1 - loss * (0.5 + place) * (task_list == "test")) + shift
                    rows += [
                        row(run=metadata["run"], training=training, variant=variant, split=split, seed=seed,
                            env_steps=env_steps, is_final=final, task_list=task_list, task=task, parameter=parameter,
                            phase=phase, update=update, episode=episode, transitions=0 if phase == "before" else 200,
                            **{"return": -500 + 400 * (score + generator.normal(0, 0.05))})
                        for episode in range(1 if phase == "collect" else 3)
                    ]  # fmt: skip
        path = folder / training / metadata["run"] / "records.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, rows, SCHEMA, metadata)
    if variant == "mier":
        gate = [
            {"run": metadata["run"], "variant": variant, "split": split, "seed": seed, "env_steps": env_steps,
             "task_list": task_list, "task": task, "update": 0, "name": name, "value": value}
            for task_list in ("test", "test_id") for task in range(num_tasks)
            for loss_value in [generator.normal(-4 + 3.5 * task / num_tasks, 0.6)]
            for name, value in (("held_out_loss", loss_value), ("gate_open", float(loss_value < -3)))
        ]  # fmt: skip
        write_table(path.with_name("diagnostics.parquet"), gate, DIAGNOSTICS_SCHEMA, {})
    points = np.arange(20_000, steps[-1] + 1, 5_000)
    returns = -500 + 400 * (LEVELS[variant] * (1 - np.exp(-points / 120_000)) + generator.normal(0, 0.05, len(points)))
    metrics = [
        {"training": training, "algorithm": variant, "split": split, "seed": seed, "env_steps": int(step),
         "wall_seconds": step / 100, "name": "return", "value": value}
        for step, value in zip(points, returns)
    ]  # fmt: skip
    write_table(folder / training / "metrics.parquet", metrics, METRICS_SCHEMA, {})


def _phases(variant: str, final: bool) -> list[tuple[str, int]]:
    """Phases with their updates; only the final checkpoint is tested along the way."""
    updates = UPDATES.get(variant, (0,))
    during = [("during", update) for update in updates[:-1]] if final else []
    return [("before", 0), ("collect", 0), *during, ("after", updates[-1])]


if __name__ == "__main__":
    import sys

    large_folder(Path(sys.argv[1]))
