"""What a table says about claims: those of the paper, as orderings, and questions that nobody has answered yet.

A claim compares the returns after adaptation of two algorithms on one task list of a split; its verdict is read off the
95 % interval of their difference over seeds, and off nothing else. A claim that two do about the same is held against a
margin that is declared here, before any result: a tenth of the way from the zero action to the stated best return.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from reports import style
from reports.numbers.intervals import NO_ESTIMATE, Estimate, difference
from reports.numbers.scores import score_ends
from reports.results import Results

KEPT = 4
"""Answers kept for the next caller, who must not change them."""

SUPPORTED, CONTRADICTED, NOT_DECIDED, NO_DATA = "supported", "contradicted", "not decided", "no data"

MARGIN = 0.1
"""Of the normalised score: what counts as about the same."""

PAPER = "Mendonca et al. 2020"
OURS = "offmap"


class Claim(NamedTuple):
    """That `first` does better than `second` (or, with `about`, as well as it) on a task list of a split."""

    first: str
    second: str
    split: str
    source: str = PAPER
    task_list: str = "test"
    about: bool = False
    question: str = ""

    @property
    def text(self) -> str:
        """The claim in a line, with the registered names of its algorithms."""
        relation = "does about as well as" if self.about else "does better than"
        return f"{self.first} {relation} {self.second} on {self.split} ({self.task_list})"


def _over(first: str, others: tuple[str, ...], split: str, **fields: Any) -> tuple[Claim, ...]:
    return tuple(Claim(first, other, split, **fields) for other in others)


# Section 6.3 and figure 4, as orderings of means.
PAPER_CLAIMS = (
    *_over("mier", ("mier-wr", "mql", "pearl", "maml"), "cheetah-velocity.hard"),
    Claim("mier", "mql", "cheetah-velocity.medium", about=True),
    *_over("mql", ("mier",), "ant-direction.ood"),
    *_over("mier", ("pearl", "maml"), "ant-direction.ood"),
    *_over("mier", ("mier-wr",), "cheetah-negated-joints.ood"),
    *_over("mier-wr", ("pearl", "mql", "maml", "grbal"), "cheetah-negated-joints.ood"),
    *_over("mier", ("mier-wr",), "ant-negated-joints.ood"),
    Claim("mier", "mql", "ant-negated-joints.ood", about=True),
    Claim("mier", "pearl", "ant-negated-joints.ood", about=True),
)

SPLITS = ("cheetah-velocity.hard", "cheetah-negated-joints.ood", "ant-direction.ood", "cheetah-velocity.medium",
          "ant-negated-joints.ood", "walker-parameters.ood")  # fmt: skip

QUESTIONS = {
    "Does relabeling help MIER?": ("mier", ("mier-wr",)),
    "Does relabeling help another base?": ("pearl+relabeling", ("pearl",)),
    "Does relabeling beat fine-tuning on unrelabeled replay for as many updates?": ("mier", ("multitask-finetune",)),
    "Does relabeling beat naming the nearest training task?": ("mier", ("identified",)),
}
"""A question, and which algorithm has to do better than which others on every split of the table."""

BLIND = "domain-randomised"
"""The best compromise that knows no task."""


def claims(results: Results) -> tuple[Claim, ...]:
    """The paper's claims, and the questions on the splits of the table that results are on."""
    splits = [split for split in SPLITS if split in set(results.cells["split"])]
    asked = [
        claim
        for question, (first, others) in QUESTIONS.items()
        for split in splits
        for claim in _over(first, others, split, source=OURS, question=question)
    ]
    competing = sorted(set(results.cells["algorithm"]) - {BLIND})
    blind = [
        Claim(algorithm, BLIND, split, OURS, question="Does it beat the best task-blind policy?")
        for split in splits
        for algorithm in competing
        if _has_results(results, algorithm, split)
    ]
    return (*PAPER_CLAIMS, *asked, *blind)


@lru_cache(maxsize=KEPT)
def verdicts(results: Results) -> pd.DataFrame:
    """One row per claim on a split that results are on.

    Columns: claim (its text), question, source, first, second, split, task_list, mean, low, high, n and method (of the
    difference of returns, first minus second), margin (of claims that two do about the same; NaN otherwise), verdict,
    env_steps (the budgets it was found at).
    """
    here = set(results.cells["split"])
    budgets = _budgets(results)
    rows = []
    for claim in claims(results):
        if claim.split not in here:
            continue
        first, second = (_per_training(results, algorithm, claim) for algorithm in (claim.first, claim.second))
        estimate = difference(first, second) if first and second else NO_ESTIMATE
        margin = _margin(results, claim.split) if claim.about else float("nan")
        steps = sorted({budgets.get((name, claim.split), "") for name in (claim.first, claim.second)} - {""}, key=int)
        rows.append((claim.text, claim.question, claim.source, claim.first, claim.second, claim.split, claim.task_list,
                     *estimate, margin, verdict(estimate, claim.about, margin), " and ".join(steps)))  # fmt: skip
    columns = ["claim", "question", "source", "first", "second", "split", "task_list", *Estimate._fields, "margin",
               "verdict", "env_steps"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def verdict(estimate: Estimate, about: bool = False, margin: float = float("nan")) -> str:
    """What the interval of a difference says of a claim: `SUPPORTED`, `CONTRADICTED`, `NOT_DECIDED` or `NO_DATA`.

    Args:
        estimate: The difference, first minus second.
        about: Whether the claim is that they do about the same, so that the whole interval has to lie within, or
            outside of, `margin` on both sides of zero.
        margin: In units of return.
    """
    if estimate.n == 0:
        return NO_DATA
    low, high = estimate.low, estimate.high
    if about:
        if -margin < low and high < margin:
            return SUPPORTED
        return CONTRADICTED if low > margin or high < -margin else NOT_DECIDED
    if low > 0:
        return SUPPORTED
    return CONTRADICTED if high < 0 else NOT_DECIDED


def _per_training(results: Results, algorithm: str, claim: Claim) -> Mapping[str, float]:
    """The result of each meta-training of an algorithm on the claim's task list, by its hash."""
    seeds = results.seeds
    is_cell = (seeds["split"] == claim.split) & (seeds["task_list"] == claim.task_list)
    rows = seeds[is_cell & seeds["variant"].isin(_variants(results, algorithm))].dropna(subset=["after"])
    return dict(zip(rows["training"], rows["after"]))


def _variants(results: Results, algorithm: str) -> set[str]:
    """The labels that are an algorithm's own name; a table's mark or a reference's may follow it."""
    labels = set(results.cells.loc[results.cells["algorithm"] == algorithm, "variant"])
    return {label for label in labels if label.partition(" [")[0].partition(style.REFERENCE)[0] == algorithm}


def _has_results(results: Results, algorithm: str, split: str) -> bool:
    rows = results.seeds[results.seeds["split"] == split]
    return not _variants(results, algorithm).isdisjoint(rows["variant"])


def _margin(results: Results, split: str) -> float:
    """What counts as about the same on a split, in units of return; NaN where the ends of its score are unknown."""
    ends = score_ends(results, split)
    if ends.null is None or ends.best is None or not ends.are_apart:
        return float("nan")
    return MARGIN * abs(ends.best - ends.null)


def _budgets(results: Results) -> dict[tuple[str, str], str]:
    """The budget of each algorithm's meta-training on each split, as text."""
    documents = results.runs.values()
    return {
        (str(document.get("algorithm")), str((document.get("split") or {}).get("full_name"))): str(
            document.get("budget_env_steps", "")
        )
        for document in documents
    }
