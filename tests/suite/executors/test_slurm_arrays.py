"""Job arrays: grouped by what is asked for, packed, cut to the cluster's size, and capped in all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.executors.slurm import make_arrays
from suite.executors.slurm_arrays import arrays
from suite.experiment.executor import ExecutorSpec, Request

SMALL, LARGE = Request(memory="1GB"), Request(memory="8GB")


def names(count, prefix="r"):
    return [f"{prefix}{number}" for number in range(count)]


def test_one_array_for_each_thing_that_is_asked_for():
    asked = {"a": SMALL, "b": LARGE, "c": SMALL, "d": LARGE, "e": SMALL}
    small, large = arrays(asked, 1, 1000, 100)
    assert (small.request, small.jobs, small.at_once) == (SMALL, (("a",), ("c",), ("e",)), 3)
    assert (large.request, large.jobs, large.at_once) == (LARGE, (("b",), ("d",)), 2)


def test_cut_to_the_size_that_the_cluster_allows():
    made = arrays(dict.fromkeys(names(25), SMALL), 1, 10, 100)
    assert [len(array.jobs) for array in made] == [10, 10, 5]
    assert [run for array in made for (run,) in array.jobs] == names(25)
    assert all(array.after is None for array in made)


def test_runs_packed_into_jobs():
    first, second = arrays(dict.fromkeys(names(11), SMALL), 4, 2, 100)
    assert first.jobs == (("r0", "r1", "r2", "r3"), ("r4", "r5", "r6", "r7"))
    assert second.jobs == (("r8", "r9", "r10"),)
    assert (first.size, second.size) == (4, 3)


def test_what_runs_at_once_is_shared_by_size():
    made = arrays(dict.fromkeys(names(30), SMALL) | dict.fromkeys(names(10, "l"), LARGE), 1, 100, 8)
    assert [array.at_once for array in made] == [6, 2]


def test_more_arrays_than_may_run_at_once_wait_for_one_another():
    made = arrays(dict.fromkeys(names(50), SMALL), 1, 10, 2)
    assert [(array.at_once, array.after) for array in made] == [(1, None), (1, None), (1, 0), (1, 1), (1, 2)]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 5), st.integers(1, 9), st.integers(1, 20))
def test_nothing_is_lost_and_no_limit_is_passed(kinds, packed, largest, at_once):
    asked = {f"r{number}": Request(cpus=kind + 1) for number, kind in enumerate(kinds)}
    made = arrays(asked, packed, largest, at_once)
    assert sorted(run for array in made for runs in array.jobs for run in runs) == sorted(asked)
    for array in made:
        assert 1 <= len(array.jobs) <= largest
        assert 1 <= array.size <= packed
        assert array.at_once >= 1
        assert {asked[run] for runs in array.jobs for run in runs} == {array.request}
    begin = [array.at_once for array in made if array.after is None]
    assert sum(begin) <= at_once  # each of the others takes the place of one that has ended
    assert sum(begin) == min(at_once, sum(len(array.jobs) for array in made)) or len(made) >= at_once


@pytest.mark.parametrize("count", [1, 5])
def test_a_canary_goes_first_and_alone(count):
    made = make_arrays(dict.fromkeys(names(count), SMALL), ExecutorSpec(canary=True, runs_per_job=4), 100)
    assert made[0].jobs == (("r0",),)
    assert [array.jobs for array in made[1:]] == [(("r1", "r2", "r3", "r4"),)] * (count > 1)
