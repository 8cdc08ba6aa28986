"""Builders that contract tests share."""

from __future__ import annotations

import torch
from conftest import TINY, TINY_ADAPT

from algorithms.registry import training_entry
from suite.collecting import Meter, TrainingSource
from suite.storage import _flattened
from tasks.registry import get_family, get_split

__all__ = ["TINY", "TINY_ADAPT", "build_algorithm", "tensors_of"]


def build_algorithm(training, split_name, seed=0, meter=None, **changes):
    """A fresh algorithm with the tiny configuration on a split's training tasks."""
    split, entry = get_split(split_name), training_entry(training)
    source = TrainingSource(get_family(split.family), split.train, seed, meter or Meter())
    config = entry.load("train").model_validate(TINY[training] | changes)
    return entry.load("algorithm")(config, source, seed=seed, device=torch.device("cpu"), capacity=5000)


def tensors_of(state):
    """All tensors of a state by path."""
    return _flattened(state)[0]
