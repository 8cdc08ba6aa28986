"""What a report of an experiment shows, and in which order: part of its declaration that changes no result."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from suite.errors import UserError, nearest, shortened
from tasks.frozen import Frozen


class ReportSpec(Frozen):
    """The variants and splits of a report, as `offmap report --variant ... --split ...` names them."""

    variants: tuple[str, ...] = Field(
        default=(), max_length=1000, description="labels, shown alone and in this order; empty: all, in the usual one"
    )
    splits: tuple[str, ...] = Field(
        default=(), max_length=1000, description="full names, shown alone and in this order; empty: all, as declared"
    )

    @field_validator("variants", "splits")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"{shortened(list(names))} names something twice")
        return names

    def refuse_unknown(self, variants: Sequence[str], splits: Sequence[str]) -> None:
        """Refuse names that are not among the experiment's: the labels of its variants, the full names of its splits.

        Raises:
            UserError: one is not.
        """
        for key, given, allowed in (("variants", self.variants, variants), ("splits", self.splits, splits)):
            for name in given:
                if name not in allowed:
                    raise UserError(
                        f"report.{key}: there is no {key[:-1]} {name!r} in the experiment; {nearest(name, allowed)}"
                    )


ALL = ReportSpec()
"""Everything, in the usual order."""
