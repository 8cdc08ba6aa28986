"""Every algorithm by name. Reading it imports no torch: an algorithm's file is imported when it is used.

The last rows are references: what doing nothing and knowing everything return on a split.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any, NamedTuple

from tasks.spec import TaskFamily


class AlgorithmEntry(NamedTuple):
    """One row of a comparison: a meta-training and a way to adapt. Entries may share a meta-training."""

    name: str
    training: str  # name of the meta-training; entries that share it share its runs
    module: str
    algorithm: str  # class in the module
    train: str  # config class of the meta-training
    adapt: str  # config class of the adaptation
    summary: str
    source: str
    trains_on: tuple[str, ...] = ("train",)  # lists of the split that are its training tasks

    @property
    def is_reference(self) -> bool:
        """Whether it is no competitor but a row to read the others by: it trains on nothing, or on the test tasks."""
        return self.trains_on != ("train",)

    @property
    def privileged(self) -> bool:
        """Whether it sees test tasks while it trains, and the true parameters of every task."""
        return not {*self.trains_on} <= {"train"}

    def load(self, attribute: str) -> Any:
        """A class of the algorithm's file, by the field of this entry that names it."""
        return getattr(import_module(self.module), getattr(self, attribute))

    def unsupported(self, family: TaskFamily) -> str | None:
        """Why the algorithm cannot run on splits of a family, or None."""
        rule = getattr(import_module(self.module), "unsupported", None)
        return rule(self.name, family) if rule is not None else None


ALGORITHMS: dict[str, AlgorithmEntry] = {
    entry.name: entry
    for entry in (
        AlgorithmEntry(
            "mier", "mier", "algorithms.mier", "Mier", "MierTrain", "MierAdapt",
            "model identification, then fine-tuning on experience relabeled by the adapted model",
            "Mendonca, Geng, Finn, Levine 2020",
        ),
        AlgorithmEntry(
            "mier-wr", "mier", "algorithms.mier", "Mier", "MierTrain", "MierWithoutRelabelingAdapt",
            "MIER without relabeling: the context variable alone is adapted",
            "Mendonca, Geng, Finn, Levine 2020",
        ),
        AlgorithmEntry(
            "pearl", "pearl", "algorithms.pearl", "Pearl", "PearlTrain", "PearlAdapt",
            "posterior over a latent task embedding, off-policy actor-critic conditioned on it",
            "Rakelly, Zhou, Quillen, Finn, Levine 2019",
        ),
        AlgorithmEntry(
            "maml", "maml", "algorithms.maml", "Maml", "MamlTrain", "MamlAdapt",
            "a policy that one policy-gradient step per task improves most, meta-trained by TRPO",
            "Finn, Abbeel, Levine 2017",
        ),
        AlgorithmEntry(
            "promp", "promp", "algorithms.promp", "Promp", "PrompTrain", "PrompAdapt",
            "as MAML, with low-variance curvature and PPO's clipped loss outside",
            "Rothfuss, Lee, Clavera, Asfour, Abbeel 2019",
        ),
        AlgorithmEntry(
            "rl2", "rl2", "algorithms.rl2", "Rl2", "Rl2Train", "Rl2Adapt",
            "recurrent policy whose hidden state is the adaptation, trained by PPO over trials",
            "Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel 2016",
        ),
        AlgorithmEntry(
            "mql", "mql", "algorithms.mql", "Mql", "MqlTrain", "MqlAdapt",
            "multi-task TD3 with a recurrent context, continued per task on propensity-weighted replay",
            "Fakoor, Chaudhari, Soatto, Smola 2020",
        ),
        AlgorithmEntry(
            "grbal", "grbal", "algorithms.grbal", "Grbal", "GrbalTrain", "GrbalAdapt",
            "meta-learned dynamics model, adapted before every action; planning under a known reward",
            "Nagabandi, Clavera, Liu, Fearing, Abbeel, Levine, Finn 2018",
        ),
        AlgorithmEntry(
            "null", "null", "algorithms.references", "Null", "UntrainedTrain", "UntrainedAdapt",
            "reference: the zero action", "this benchmark", trains_on=(),
        ),
        AlgorithmEntry(
            "random", "random", "algorithms.references", "Random", "UntrainedTrain", "UntrainedAdapt",
            "reference: uniform actions", "this benchmark", trains_on=(),
        ),
        AlgorithmEntry(
            "oracle", "oracle", "algorithms.oracle", "Oracle", "OracleTrain", "OracleAdapt",
            "reference: SAC told the true task parameters, trained on the test tasks",
            "this benchmark", trains_on=("test", "test_id"),
        ),
    )
}  # fmt: skip


class UnknownAlgorithm(LookupError):
    """No algorithm of that name; the message lists the nearest."""


def get_algorithm(name: str) -> AlgorithmEntry:
    """The entry of that name.

    Raises:
        UnknownAlgorithm: there is none.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    near = difflib.get_close_matches(name, ALGORITHMS, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(ALGORITHMS)}."
    raise UnknownAlgorithm(f"there is no algorithm {name!r}: {hint} `offmap algorithms list` shows all.")


def training_entry(training: str) -> AlgorithmEntry:
    """An entry whose meta-training has that name."""
    return next(entry for entry in ALGORITHMS.values() if entry.training == training)
