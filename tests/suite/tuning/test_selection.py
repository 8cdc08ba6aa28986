"""The rule on values made by hand: ranks, ties, missing values, the veto, and who goes on."""

import math

import pytest

from suite.errors import UserError
from suite.tuning.selection import Value, decide, survivors, winner

GOAL, DYNAMICS = "point-goal.tuning", "point-dynamics.tuning"
FIRST, LAST = 2000, 4000
NONE = math.nan


def values(env_steps, shifted, inside=None, blind=-100.0):
    """Values of four configurations on both splits, the same with both seeds but for half a unit up and down.

    shifted, inside: {configuration: (return on goal, on dynamics)}.
    """
    inside = inside or dict.fromkeys(shifted, (-50.0, -50.0))
    rows = []
    for task_list, returns in (("test", shifted), ("test_id", inside)):
        for configuration, of_splits in returns.items():
            rows += [
                Value("pearl", configuration, env_steps, split, seed, task_list, value + (seed - 100.5), "r")
                for split, value in zip((GOAL, DYNAMICS), of_splits) for seed in (100, 101)
            ]  # fmt: skip
    rows += [
        Value("domain-randomised", 0, env_steps, split, seed, task_list, blind, "b")
        for split in (GOAL, DYNAMICS) for seed in (100, 101) for task_list in ("test", "test_id")
    ]  # fmt: skip
    return rows


def placed(search, *rows):
    return decide(search, [row for part in rows for row in part])["pearl"]


def test_the_best_mean_of_ranks_wins_and_not_the_best_mean_of_returns(declared):
    # Ranks on goal 1 2 3 4, on dynamics 4 1 2 3: means 2.5, 1.5, 2.5, 3.5; the mean return is highest for number 0.
    (rung,) = placed(declared(), values(FIRST, {0: (-1, -60), 1: (-40, -10), 2: (-41, -11), 3: (-42, -12)}))
    assert [(one.configuration, one.mean_rank) for one in rung] == [(1, 1.5), (0, 2.5), (2, 2.5), (3, 3.5)]
    assert rung[0].shifted == (-40.0, -10.0)
    assert not any(one.is_vetoed for one in rung)
    assert survivors(declared(), rung, 0) == [1, 0]


def test_equal_returns_share_the_mean_of_their_ranks(declared):
    # Goal: -1 twice (1.5 each), -2, -3. Dynamics: -5 thrice (2 each) behind nothing, then -6.
    (rung,) = placed(declared(), values(FIRST, {0: (-2, -5), 1: (-1, -5), 2: (-1, -6), 3: (-3, -5)}))
    ranks = {one.configuration: one.mean_rank for one in rung}
    assert ranks == {0: 2.5, 1: 1.75, 2: 2.75, 3: 3.0}


def test_equal_mean_ranks_are_told_apart_in_distribution_and_then_by_number(declared):
    shifted = {0: (-1, -2), 1: (-2, -1), 2: (-3, -3), 3: (-4, -4)}
    better = {0: (-50, -50), 1: (-40, -40), 2: (-60, -60), 3: (-60, -60)}
    (rung,) = placed(declared(), values(FIRST, shifted, better))
    assert [one.configuration for one in rung] == [1, 0, 2, 3]
    (rung,) = placed(declared(), values(FIRST, shifted))
    assert [one.configuration for one in rung] == [0, 1, 2, 3]


def test_what_does_not_beat_the_task_blind_row_in_distribution_stands_behind_all_others(declared):
    shifted = {0: (-1, -1), 1: (-2, -2), 2: (-3, -3), 3: (-4, -4)}
    inside = {0: (-50, -100), 1: (-50, -50), 2: (-50, -99), 3: (-120, -50)}  # as good as blind is not better
    (rung,) = placed(declared(), values(FIRST, shifted, inside))
    assert [(one.configuration, one.is_vetoed) for one in rung] == [(1, False), (2, False), (0, True), (3, True)]


def test_a_configuration_without_a_return_shares_the_last_ranks_and_cannot_win(declared):
    shifted = {0: (-1, NONE), 1: (-2, -2), 2: (-3, -3), 3: (NONE, NONE)}
    (rung,) = placed(declared(), values(FIRST, shifted))
    # Dynamics: 1, 2, then 3.5 twice; goal: 1, 2, 3, 4.
    assert {one.configuration: one.mean_rank for one in rung} == {0: 2.25, 1: 1.5, 2: 2.5, 3: 3.75}
    assert [(one.configuration, one.is_vetoed) for one in rung] == [(1, False), (2, False), (0, True), (3, True)]


def test_a_seed_that_is_missing_is_a_missing_return(declared):
    rows = values(FIRST, {0: (-1, -1), 1: (-2, -2), 2: (-3, -3), 3: (-4, -4)})
    rows = [row for row in rows if (row.configuration, row.seed, row.split) != (0, 101, GOAL) or row.run == "b"]
    (rung,) = placed(declared(), rows)
    assert rung[0].configuration == 1
    assert next(one for one in rung if one.configuration == 0).is_vetoed


def test_a_rung_ranks_those_that_went_on_alone_and_the_last_has_the_winner(declared):
    first = values(FIRST, {0: (-9, -9), 1: (-2, -2), 2: (-1, -1), 3: (-8, -8)})
    last = values(LAST, {1: (-1, -1), 2: (-2, -2)})
    search = declared()
    assert winner(search, placed(search, first)) is None
    rungs = placed(search, first, last)
    assert [[one.configuration for one in rung] for rung in rungs] == [[2, 1, 3, 0], [1, 2]]
    assert winner(search, rungs) == 1


def test_where_all_are_vetoed_there_is_no_winner(declared):
    first = values(FIRST, {0: (-9, -9), 1: (-2, -2), 2: (-1, -1), 3: (-8, -8)})
    last = values(LAST, {1: (-1, -1), 2: (-2, -2)}, blind=-10.0)
    rungs = placed(declared(), first, last)
    assert winner(declared(), rungs) is None


def test_a_task_blind_row_without_a_return_vetoes_nothing_in_silence(declared):
    with pytest.raises(UserError, match=r"domain-randomised has no return on point-goal\.tuning at 2000 env steps"):
        placed(declared(), values(FIRST, {0: (-1, -1), 1: (-2, -2), 2: (-3, -3), 3: (-4, -4)}, blind=NONE))
