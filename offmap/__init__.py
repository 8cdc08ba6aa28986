"""offmap for Python: what a program, a notebook or a plugin imports. `docs/library.md` has a page on it.

Importing it registers the families with gymnasium (`gymnasium.make("offmap/CheetahVelocity-v1")`), and loads neither
torch nor a simulator: each name below is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from offmap.installed import use_what_is_installed
from offmap.siblings import require_siblings

require_siblings()

import tasks.environments  # noqa: E402, F401 - which registers them

if TYPE_CHECKING:
    from algorithms.registry import get_algorithm as algorithm
    from offmap.environments import make
    from offmap.experiments import experiment
    from offmap.families import family
    from offmap.plugins import use_plugins
    from offmap.results import load_results
    from suite.run.agents import load_agent
    from suite.run.evaluation import evaluate
    from tasks.errors import UserError
    from tasks.registry import get_split as split

__all__ = [
    "UserError", "algorithm", "evaluate", "experiment", "family", "load_agent", "load_results", "make", "split",
    "use_plugins",
]  # fmt: skip

_PLACES = {
    "UserError": "tasks.errors:UserError",
    "algorithm": "algorithms.registry:get_algorithm",
    "evaluate": "suite.run.evaluation:evaluate",
    "experiment": "offmap.experiments:experiment",
    "family": "offmap.families:family",
    "load_agent": "suite.run.agents:load_agent",
    "load_results": "offmap.results:load_results",
    "make": "offmap.environments:make",
    "split": "tasks.registry:get_split",
    "use_plugins": "offmap.plugins:use_plugins",
}


_WITHOUT_PLUGINS = ("UserError", "family", "use_plugins")
"""What the files of plugins need while they are imported; `family(name)` looks for installed ones when it is called."""


def __getattr__(name: str) -> Any:
    """A public name, from where it is defined."""
    if name == "__version__":
        return metadata.version("offmap")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    if name not in _WITHOUT_PLUGINS:
        use_what_is_installed()
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
