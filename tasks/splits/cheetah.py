"""The cheetah's splits: target speeds in m/s, two opposite directions, sets of negated joints."""

from __future__ import annotations

from tasks import sampling
from tasks.sampling import TAVT_SEED, TEST_ID_SEED, TUNING_ID_SEED, TUNING_SEED
from tasks.spec import References
from tasks.splits.record import Fields, best_known, built_in, nearness

# --- cheetah-velocity ---

ABOVE = ((2.5, 3.0),)
TAVT_BANDS = ((0.0, 0.5), (3.0, 3.5))


@built_in("cheetah-velocity.standard", recorded_hash="fdf9698d034f")
def _() -> Fields:
    speeds = ((0.0, 3.0),)
    train, test = sampling.uniform(1337, (speeds, 100), (speeds, 30))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on speeds in [0, 3] m/s.",
        "train": train,
        "test": test,
        "adaptation_transitions": 400,
        "references": nearness(train, test),
        "drawn": "RandomState(1337), 130 of U(0, 3), the first 100 train",
        "axis": "target_speed",
        "support": (speeds,),
    }


def _shifted_speeds(high: float) -> Fields:
    """Fields of a split that trains below `high` and tests on [2.5, 3] m/s."""
    speeds = ((0.0, high),)
    train, test = sampling.uniform(1337, (speeds, 100), (ABOVE, 30))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (speeds, 30))
    return {
        "shift": "out_of_distribution",
        "train": train,
        "test": test,
        "test_id": test_id,
        "adaptation_transitions": 200,
        "references": nearness(train, test),
        "drawn": f"RandomState(1337), 100 of U(0, {high}) train, then 30 of U(2.5, 3) test; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "axis": "target_speed",
        "support": (speeds,),
    }


@built_in("cheetah-velocity.medium", recorded_hash="20f9f9715e8b")
def _() -> Fields:
    description = "Trained on speeds in [0, 2.5] m/s, tested just above them, in [2.5, 3]."
    return {"description": description} | _shifted_speeds(2.5)


@built_in("cheetah-velocity.hard", recorded_hash="6c05d489a1fc")
def _() -> Fields:
    description = "Trained on speeds in [0, 1.5] m/s, tested far above them, in [2.5, 3]."
    return {"description": description} | _shifted_speeds(1.5)


@built_in("cheetah-velocity.graded", recorded_hash="bc4f4b1f09c1")
def _() -> Fields:
    hard, test = _shifted_speeds(1.5), sampling.evenly_spaced(1.75, 4.0, 10)
    return hard | {
        "description": "Trained on the tasks of `hard`, tested at ten speeds ever further off, 1.75 to 4 m/s.",
        "test": test,
        "test_id": hard["test_id"][: len(test)],
        "references": nearness(hard["train"], test),
        "drawn": "train: the list of cheetah-velocity.hard; test: 1.75, 2.0, ..., 4.0; test_id: the first 10 of hard's",
    }


@built_in("cheetah-velocity.tavt", recorded_hash="2c9febda8b32")
def _() -> Fields:
    (train,) = sampling.uniform(TAVT_SEED, (TAVT_BANDS, 100))
    test = ((0.75,), (1.25,), (1.75,), (2.25,), (2.75,))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on slow and on fast speeds, [0, 0.5] and [3, 3.5] m/s, tested in the gap (TAVT).",
        "train": train,
        "test": test,
        "test_id": ((0.1,), (0.25,), (3.1,), (3.25,)),
        "adaptation_transitions": 400,
        "references": nearness(
            train, test, remark="; any speed in the gap serves training as well, and returns -120 to -250 on test"
        ),
        "drawn": f"RandomState({TAVT_SEED}), 100 of U(0, 0.5) or U(3, 3.5), each as likely; test and test_id: listed",
        "axis": "target_speed",
        "support": (TAVT_BANDS,),
    }


@built_in("cheetah-velocity.tuning", recorded_hash="ec9c7bae4444")
def _() -> Fields:
    slow, fast = ((0.0, 1.0),), ((1.2, 1.5),)
    train, test = sampling.uniform(TUNING_SEED, (slow, 100), (fast, 30))
    (test_id,) = sampling.uniform(TUNING_ID_SEED, (slow, 30))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on speeds in [0, 1] m/s, tested in [1.2, 1.5]: all within `hard`'s training.",
        "train": train,
        "test": test,
        "test_id": test_id,
        "adaptation_transitions": 200,
        "references": nearness(train, test),
        "drawn": f"RandomState({TUNING_SEED}), 100 of U(0, 1) train, then 30 of U(1.2, 1.5) test; "
        f"RandomState({TUNING_ID_SEED}) test_id",
        "axis": "target_speed",
        "support": (slow,),
        "tunes": ("standard", "medium", "hard", "graded"),
    }


# --- cheetah-direction: trained and tested on the same two tasks, so that no task is left to tune on ---


@built_in("cheetah-direction.standard", recorded_hash="e43241335822")
def _() -> Fields:
    both = ((-1.0,), (1.0,))
    return {
        "shift": "same_tasks",
        "description": "Run backwards or forwards; tested on the two training tasks.",
        "train": both,
        "test": both,
        "adaptation_transitions": 400,
        "references": References(
            null=0.0,
            ceiling=1664.0,
            source="null: opposite tasks cancel exactly; ceiling: PEARL at 1.44M steps, third-party log; best known, "
            "no bound",
        ),
        "drawn": "listed",
        "axis": "direction",
    }


# --- cheetah-negated-joints: the last joint is never negated in training, always in the test tasks ---

_NEGATED_SOURCE = (
    "the released MIER weights on the training tasks of `ood`, whose masks they know; best known, no bound"
)


@built_in("cheetah-negated-joints.ood", recorded_hash="bedffe8ee3d2")
def _() -> Fields:
    train = sampling.sign_masks(joints=6, negated=3, among=5)
    return {
        "shift": "out_of_distribution",
        "description": "Trained with three of joints 0-4 negated, tested with joint 5 and two of them.",
        "train": train,
        "test": sampling.sign_masks(joints=6, negated=2, among=5, always=(5,)),
        "test_id": train,
        "test_id_is_train": True,
        "adaptation_transitions": 400,
        "references": best_known(-0.2, 1390.0, _NEGATED_SOURCE),
        "drawn": "all subsets, in lexicographic order; the training set is finite, so test_id is the training list",
    }


@built_in("cheetah-negated-joints.tuning", recorded_hash="1169ef0f0476")
def _() -> Fields:
    train = sampling.sign_masks(joints=6, negated=3, among=4)
    return {
        "shift": "out_of_distribution",
        "description": "Trained with three of joints 0-3 negated, tested with joint 4 and two of them: the training "
        "tasks of `ood`, split at its last joint but one.",
        "train": train,
        "test": sampling.sign_masks(joints=6, negated=2, among=4, always=(4,)),
        "test_id": train,
        "test_id_is_train": True,
        "adaptation_transitions": 400,
        "references": best_known(-0.3, 1390.0, _NEGATED_SOURCE),
        "drawn": "all subsets, in lexicographic order; the training set is finite, so test_id is the training list",
        "tunes": ("ood",),
    }
