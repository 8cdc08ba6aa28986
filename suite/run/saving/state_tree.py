"""A state taken apart for storage: its tensors by path, and the JSON that says where each belongs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def flattened(state: Any, prefix: str = "") -> tuple[dict[str, Tensor], Any]:
    """Tensors by path, and a JSON document of the same structure with each tensor replaced by its path."""
    if isinstance(state, Tensor | np.ndarray):
        tensor = torch.as_tensor(state).detach().contiguous().cpu().clone()
        return {prefix: tensor}, {"tensor": prefix, "array": isinstance(state, np.ndarray)}
    if isinstance(state, dict | list | tuple):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        parts = {key: flattened(value, f"{prefix}/{key}") for key, value in items}
        tensors = {path: tensor for below, _ in parts.values() for path, tensor in below.items()}
        plain = {key: shape for key, (_, shape) in parts.items()}
        return tensors, {"dict": plain} if isinstance(state, dict) else {"list": list(plain.values())}
    return {}, {"value": state}


def nested(tensors: dict[str, Tensor], plain: dict[str, Any]) -> Any:
    """The state that `flattened` took apart; tuples come back as lists."""
    if "tensor" in plain:
        tensor = tensors[plain["tensor"]]
        return tensor.cpu().numpy() if plain["array"] else tensor
    if "dict" in plain:
        return {key: nested(tensors, value) for key, value in plain["dict"].items()}
    if "list" in plain:
        return [nested(tensors, value) for value in plain["list"]]
    return plain["value"]
