"""GrBAL learns to adapt on the rotated point: better than the best policy that remembers nothing."""

import numpy as np
import pandas as pd
import pytest
import torch

from algorithms.grbal import GrbalAdapt
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.run.metatest import Meters, Trial, run_trial
from suite.run.rollout import Meter, TrainingSource
from tasks.environments.point import START_DISTANCE, STEP
from tasks.registry import get_family, get_split

SPLIT = get_split("point-dynamics.ood")
HORIZON, BUDGET = 20, 3200


def best_memoryless_return(list_name):
    """The best mean return of a policy that sees where the point is and knows the list, but remembers nothing.

    The start is spread evenly around the goal, so the best such policy undoes one rotation for good and walks towards
    the origin at one share of the full speed; both are found on a grid.
    """
    angles = np.array([task.values[0] for task in SPLIT.tasks(list_name)])
    best = -np.inf
    for undone in np.linspace(0, 2 * np.pi, 73):
        for share in np.linspace(0, 1, 11):
            place = np.tile(np.linspace(*START_DISTANCE, 21).astype(complex), (len(angles), 1))
            total = 0.0
            for _ in range(HORIZON):
                distance = np.maximum(np.abs(place), 1e-9)
                moves = share * np.minimum(STEP, distance) * place / distance
                place = place - np.exp(1j * (angles - undone))[:, None] * moves
                total = total - np.abs(place)
            best = max(best, total.mean())
    return best


@pytest.fixture(scope="module")
def learned():
    """A GrBAL trained as an experiment would, with the family's preset."""
    experiment = Experiment(
        name="learning", splits=(SPLIT.full_name,), algorithms=("grbal",), budget={"env_steps": BUDGET}
    )
    (cell,) = expand(experiment)
    from algorithms.grbal import Grbal, GrbalTrain

    meter = Meter()
    source = TrainingSource(get_family(SPLIT.family), SPLIT.train, 0, meter)
    config = GrbalTrain.model_validate(cell.training.config)
    grbal = Grbal(config, source, seed=0, device=torch.device("cpu"), capacity=BUDGET)
    while meter.steps + grbal.steps_of_next_iteration() <= BUDGET:
        grbal.iterate()
    return grbal, cell


def meta_test(learned, list_name, change_agent=lambda agent: agent, **adapt):
    """Mean return after adaptation, and diagnostics by name, (task,)."""
    grbal, cell = learned
    trial = Trial(get_family(SPLIT.family), list_name, SPLIT.tasks(list_name), "ab" * 6)
    agent = change_agent(grbal.agent(GrbalAdapt(**adapt), trial.agent_seed))
    rows, diagnostics = run_trial(trial, agent, cell.metatests[0].protocol, 40, Meters(Meter(), Meter()))
    rows, diagnostics = pd.DataFrame(rows), pd.DataFrame(diagnostics)
    found = {name: group["value"].to_numpy() for name, group in diagnostics.groupby("name")}
    return rows[rows.phase == "after"]["return"].mean(), found


def test_adapting_online_beats_the_best_policy_without_memory_and_not_adapting(learned):
    memoryless = best_memoryless_return("test_id")
    assert memoryless == pytest.approx(-11.1, abs=0.1)
    online, _ = meta_test(learned, "test_id")
    offline, _ = meta_test(learned, "test_id", online=False)
    assert online > memoryless + 2
    assert online > offline + 6
    outside, _ = meta_test(learned, "test")
    outside_offline, _ = meta_test(learned, "test", online=False)
    assert outside > outside_offline + 20  # not adapting walks away from the goal in rotations never seen


def test_steps_not_seen_yet_are_predicted_better_after_the_inner_step(learned):
    _, found = meta_test(learned, "test_id")
    assert (found["prediction_loss"] < found["prediction_loss_unadapted"]).all()
    assert found["prediction_loss"].mean() < 0.6 * found["prediction_loss_unadapted"].mean()


def test_on_held_out_windows_the_loss_after_the_inner_step_is_lower(learned):
    grbal, _ = learned
    windows = grbal.held_out.sample(500, torch.Generator().manual_seed(0))
    before, after = (losses.detach() for losses in grbal.window_losses(windows, grbal.normalisation))
    assert after.mean() < 0.7 * before.mean()
    assert (after < before).float().mean() > 0.7


def test_adapting_to_another_tasks_transitions_is_worse_than_not_adapting(learned):
    """What the model adapts to is what matters: the transitions of a task turned the other way mislead it."""

    def mislead(agent):
        held, fork = agent.recent.held, agent.fork

        def turned(device):
            data, weights = held(device)
            changes = data.next_observations - data.observations
            return data._replace(next_observations=data.observations - changes), weights

        agent.recent.held = turned
        agent.fork = lambda episodes: mislead(fork(episodes))
        return agent

    def misled(agent):
        begin = agent.begin

        def changed(tasks):
            begin(tasks)
            mislead(agent)

        agent.begin = changed
        return agent

    right, _ = meta_test(learned, "test_id")
    wrong, _ = meta_test(learned, "test_id", misled)
    assert wrong < right - 15
