"""Making results again, as after a change of code: the old ones are set aside, and nothing of them is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from suite.errors import UserError, nearest
from suite.executors.launch import left_to_do
from suite.results.layout import SET_ASIDE, refuse_foreign
from suite.results.prepare import set_trainings_aside


def set_variants_aside(name: str, out: Path, trainings: Mapping[str, Set[str]], variants: Iterable[str]) -> list[str]:
    """Move the trainings of some variants out of the way, with all their meta-tests; a sentence on each variant.

    `trainings` are those of the experiment called `name`, as of `suite.experiment.expansion.trainings_of`.

    Raises:
        UserError: there is no such variant, or somebody works on one of its trainings.
    """
    wanted = list(dict.fromkeys(variants))
    for variant in wanted:
        if variant not in trainings:
            raise UserError(f"--rerun {variant}: {name} has no such variant; {nearest(variant, trainings)}")
    refuse_foreign(name, out)
    sentences = []
    for variant in wanted:
        folders = [out / run for run in sorted(trainings[variant]) if (out / run / "config.json").exists()]
        _, taken = left_to_do(out, folders)
        if taken:
            raise UserError(f"--rerun {variant}: {taken[0]} is being worked on; cancel it, or wait for its end")
        moved = set_trainings_aside(out, [folder.name for folder in folders]) if folders else []
        sharing = [other for other, runs in trainings.items() if other != variant and runs & trainings[variant]]
        also = f", and with them those of {', '.join(sharing)}" if sharing and moved else ""
        sentences.append(f"{variant}: {len(moved)} trainings set aside in {out / SET_ASIDE}{also}")
    return sentences
