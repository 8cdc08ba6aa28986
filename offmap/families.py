"""Families by name, and those that are made of a gymnasium environment."""

from __future__ import annotations

from offmap.installed import use_what_is_installed
from tasks.environments import from_gymnasium as making
from tasks.registry import get_family
from tasks.spec import TaskFamily


class Families:
    """`family(name)` is what is declared of a family; `family.from_gymnasium(...)` declares one, for a plugin."""

    from_gymnasium = staticmethod(making.from_gymnasium)

    def __call__(self, name: str) -> TaskFamily:
        """The family of that name or nickname.

        Raises:
            UnknownName: there is none; the message lists the nearest names.
        """
        use_what_is_installed()
        return get_family(name)


family = Families()
