"""The unadapted twin: the same training, tested with an agent that learns nothing in a trial.

`before` does not mean the same for every algorithm: some adapt within the episode already, one explores in it. The
return after adaptation minus that of the twin does. A twin is an ordinary run, whose `adapt` block has the values that
the algorithm's config class declares as `twin`; its hash says which run's twin it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algorithms.registry import UnknownAlgorithm, get_algorithm
from suite.errors import UserError
from suite.experiment.specs import MetatestSpec

if TYPE_CHECKING:
    from algorithms.base import AdaptConfig

SUFFIX = " unadapted"
"""What is added to the label of a variant to make that of its twin."""


def twin_values(algorithm: str) -> dict[str, Any]:
    """The values of an `adapt` block that make the twin of an algorithm.

    Raises:
        UserError: there is no such algorithm, or it never learns of its task.
    """
    try:
        values = get_algorithm(algorithm).load("adapt").twin
    except UnknownAlgorithm as error:
        raise UserError(f"algorithms: {error}") from None
    if values is None:
        raise UserError(
            f"algorithms: {algorithm} has no unadapted twin, since it never learns of its task; leave `twin` out"
        )
    return dict(values)


def twin_of(spec: MetatestSpec) -> MetatestSpec | None:
    """The meta-test of the twin of a run: the run itself where it is one, None where there is nothing to adapt."""
    config = adapt_config(spec)
    if config.twin is None:
        return None
    changed = type(config).model_validate(config.model_dump() | dict(config.twin))
    return spec.model_copy(update={"config": changed.model_dump(mode="json")})


def adapt_config(spec: MetatestSpec) -> AdaptConfig:
    """The `adapt` block of a run."""
    config: AdaptConfig = get_algorithm(spec.algorithm).load("adapt").model_validate(spec.config)
    return config


def gain_facts(spec: MetatestSpec) -> dict[str, Any]:
    """What has to be known of a run to say what its adaptation gained, for its records.

    before: `algorithms.base.Before` as a mapping; twin: the hash of its twin's run, or None; is_twin: whether it is
    one itself.
    """
    twin = twin_of(spec)
    return {
        "before": adapt_config(spec).before._asdict(), "twin": None if twin is None else twin.hash,
        "is_twin": twin is not None and twin.hash == spec.hash,
    }  # fmt: skip
