"""Experiment -> runs -> records: the protocol, storage, executors and the command line."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`suite.load_agent`, imported when it is asked for: it needs torch, most of what imports `suite` does not."""
    if name == "load_agent":
        from suite.run.agents import load_agent

        return load_agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
