"""What can be reached on the point families without learning: bounds that learning tests compare with."""

from __future__ import annotations

import numpy as np

from tasks.environments.point import STEP
from tasks.spec import TaskSplit

HORIZON = 20


def goals_of(split: TaskSplit, list_name: str) -> np.ndarray:
    """Places of the goals of a list, (task, 2)."""
    angles = np.array([task.values[0] for task in split.tasks(list_name)])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def best_blind_return(split: TaskSplit, list_name: str) -> float:
    """The best mean return of any policy that goes to one place and stays, whatever the task.

    The position never reveals the task, so a task-blind policy walks the same path in every task; a straight walk to
    one place is the best such path up to the resolution of the grid.
    """
    goals, best = goals_of(split, list_name), -np.inf
    for radius in np.linspace(0, 1, 21):
        for angle in np.linspace(0, 2 * np.pi, 73):
            place = radius * np.array([[np.cos(angle), np.sin(angle)]])
            best = max(best, return_of_walking_to(place, goals))
    return best


def return_of_walking_to(places: np.ndarray, goals: np.ndarray) -> float:
    """The mean return of walking straight to places and staying there, while the goals are others: (task, 2) each."""
    far = np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
    reached = np.minimum(1.0, STEP * np.arange(1, HORIZON + 1) / far)  # (task, step)
    path = reached[..., None] * places[:, None]
    return float(-np.linalg.norm(goals[:, None] - path, axis=2).sum(1).mean())
