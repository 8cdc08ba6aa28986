"""How far runs are, read from their files, and how that is said."""

import pytest
from tests_support import write_metrics, write_status

from suite.monitor.progress import RunProgress, duration, read_progress, recent_speed, sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3599, "1 h 0 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_speed_is_that_of_recent_iterations_without_the_initial_exploration(folder):
    assert recent_speed(folder) is None
    write_metrics(folder, [(1, 200, 0.1)])
    assert recent_speed(folder) is None
    write_metrics(folder, [(1, 200, 0.1), (2, 300, 10.1), (3, 400, 20.1)])
    assert recent_speed(folder) == pytest.approx(10.0)
    write_metrics(folder, [(n, 100 * n, (10 if n < 90 else 1) * n) for n in range(1, 101)])
    assert recent_speed(folder) == pytest.approx(100.0)


def test_training_progress(folder):
    write_status(folder, env_steps=400, budget=1000, steps_per_second=5000.0, **{"return": -12.5})
    first = read_progress(folder)
    assert (first.fraction, first.steps_per_second, first.remaining_seconds) == (0.4, 5000.0, None)
    write_metrics(folder, [(1, 200, 0.1), (2, 300, 10.1), (3, 400, 20.1)])
    later = read_progress(folder)
    assert later == RunProgress("running", "training", 0.4, 400, 1000, pytest.approx(10.0), -12.5, pytest.approx(60.0))
    assert sentence(later) == "training 40%, 400 / 1,000 env steps, 10 steps/s, return -12.5, 1 min left"


def test_a_stage_names_its_metatest_and_other_states_their_reason(folder):
    write_status(folder, stage="meta-test", metatest="mier on hard", fraction=0.25, remaining_seconds=90.0, env_steps=9)
    assert sentence(read_progress(folder)) == "meta-test mier on hard 25%, 2 min left"
    write_status(folder, state="failed", message="diverged: q_loss became nan")
    assert sentence(read_progress(folder)) == "failed: diverged: q_loss became nan"
    (folder / "status.json").unlink()
    assert read_progress(folder) == RunProgress("pending", budget=1000)
