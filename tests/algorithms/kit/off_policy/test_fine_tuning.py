"""The stop rule on errors that are given, and that it changes nothing but when a task ends."""

import pytest
import torch

from algorithms.kit.off_policy.fine_tuning import FineTuning, StopRule, StopSettings, fine_tuned
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import Transitions


def rows(number=3, tasks=2, seed=0, inputs=3, actions=2):
    def draw(*shape):
        return torch.randn(shape, generator=generator)

    generator = torch.Generator().manual_seed(seed)
    return Transitions(
        draw(tasks, number, inputs), draw(tasks, number, actions).tanh(), draw(tasks, number),
        draw(tasks, number, inputs), torch.zeros(tasks, number),
    )  # fmt: skip


class Scripted:
    """Two learners whose policy is the number of their updates, and whose errors after these are given."""

    def __init__(self, errors):
        self.errors = errors
        self.policy = [torch.zeros(2, 1, 1)]
        self.looks = []
        self.noise = []

    def update(self, batch, generator):
        self.policy[0] = self.policy[0] + 1
        return {"critic_loss": self.policy[0].flatten()}

    def bellman_error(self, batch, generator):
        self.looks.append(int(self.policy[0][0]))
        self.noise.append(float(torch.rand((), generator=generator)))
        return torch.tensor([float(errors[self.looks[-1]]) for errors in self.errors])


class Nothing:
    """An experience that draws one number, as any would."""

    def batch(self, learners, generator):
        torch.rand((), generator=generator)
        return rows()


def scripted(first, second, patience=3, interval=1):
    learners = Scripted((first, second))
    return learners, FineTuning(learners, Nothing(), StopRule(patience, interval, rows()))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def policies(tuning):
    return tuning.policy[0].flatten().tolist()


def test_each_task_keeps_the_policy_of_its_lowest_error_and_ends_by_itself():
    learners, tuning = scripted([9, 7, 5, 6, 6, 6, 1, 0, 0], [3, 4, 2, 2, 1, 5, 4, 5, 0])
    seen = []
    for point in range(1, 9):
        measured = tuning.run_to(point, seeded())
        seen.append(policies(tuning))
        assert measured["policy_update"].tolist() == policies(tuning)
    # Task 0 falls until 2 and ends at 5; a lower error at 6 is too late. Task 1 falls (ties do not count) until 4, and
    # ends at 7, with which everything has ended.
    assert seen == [[1, 0], [2, 2], [2, 2], [2, 4], [2, 4], [2, 4], [2, 4], [2, 4]]
    assert measured["held_out_bellman_error"].tolist() == [5, 1]
    assert tuning.updates == 7
    assert learners.looks == list(range(8))


def test_the_policy_before_the_first_update_may_be_the_best():
    _, tuning = scripted([1, 2, 3, 4, 5], [1, 2, 0, 4, 5], patience=4)
    tuning.run_to(4, seeded())
    assert policies(tuning) == [0, 2]


def test_it_looks_every_interval_with_the_same_noise_and_takes_no_draw_of_the_fine_tuning():
    learners, tuning = scripted(range(30, 0, -1), range(30, 0, -1), patience=4, interval=4)
    generator, plain = seeded(), seeded()
    tuning.run_to(10, generator)
    FineTuning(Scripted(()), Nothing()).run_to(10, plain)
    assert learners.looks == [0, 4, 8]
    assert len(set(learners.noise)) == 1
    assert torch.equal(generator.get_state(), plain.get_state())
    assert policies(tuning) == [8, 8]  # what came after was not judged


def test_an_error_that_is_not_finite_is_never_the_lowest():
    nan, inf = float("nan"), float("inf")
    _, tuning = scripted([4, nan, nan, nan, nan], [4, 3, inf, inf, inf])
    tuning.run_to(4, seeded())
    assert policies(tuning) == [0, 1]
    assert tuning.updates == 4


def test_without_a_rule_the_last_policy_counts_and_nothing_is_judged():
    learners = Scripted(())
    tuning = FineTuning(learners, Nothing())
    assert set(tuning.run_to(6, seeded())) == {"critic_loss"}
    assert policies(tuning) == [6, 6]
    assert not tuning.policy[0].requires_grad
    assert tuning.run_to(6, seeded())["critic_loss"].tolist() == [6, 6]  # no further update
    assert learners.looks == []


def test_some_tasks_of_a_trial_are_fine_tuned_and_the_others_keep_their_policies():
    policy = [torch.full((4, 1, 1), -1.0)]
    stages = fine_tuned(FineTuning(Scripted(()), Nothing()), policy, torch.tensor([3, 1]), [2, 5], seeded())
    for point, diagnostics in stages:
        assert policy[0].flatten().tolist() == [-1, point, -1, point]
        assert diagnostics["critic_loss"].nan_to_num(-9).tolist() == [-9, point, -9, point]
    assert point == 5


def test_settings_are_a_rule_or_none():
    held_out = rows()
    assert StopSettings().rule(held_out) is None
    rule = StopSettings(stop_patience=500, stop_interval=50).rule(held_out)
    assert (rule.patience, rule.interval, rule.held_out) == (500, 50, held_out)


class Batches:
    """A fixed sequence of random batches."""

    def __init__(self):
        self.number = 0

    def batch(self, learners, generator):
        self.number += 1
        return rows(16, seed=self.number)


def test_a_real_learner_is_the_same_with_and_without_a_rule_until_it_ends_and_its_policy_is_the_one_of_that_update():
    settings = SacSettings(0.9, 0.005, 3e-3, 1.0, "auto", -1.0, "fp32")
    one = SoftActorCritic.initial(settings, 3, 2, (8, 8), seeded())
    held_out, errors, snapshots = rows(40, seed=99), [], []
    free = FineTuning(one.copies(2), Batches())
    generator = seeded(5)
    for update in range(13):
        free.run_to(update, generator)
        errors.append(free.learners.bellman_error(held_out, seeded()))
        snapshots.append([parameter.clone() for parameter in free.policy])
    ruled = FineTuning(one.copies(2), Batches(), StopRule(100, 1, held_out))
    measured = ruled.run_to(12, seeded(5))
    best = torch.stack(errors).argmin(0)
    assert measured["policy_update"].tolist() == best.tolist()
    assert torch.equal(measured["held_out_bellman_error"], torch.stack(errors).amin(0))
    for task in (0, 1):
        for kept, snapshot in zip(ruled.policy, snapshots[best[task]]):
            assert torch.equal(kept[task], snapshot[task])
    for left, right in zip(free.learners.policy, ruled.learners.policy):
        assert torch.equal(left, right)


def test_the_rule_ends_learning_from_a_false_reward_and_lets_a_true_one_go_on():
    """Task 0 learns values of rewards that its held-out data deny, task 1 of rewards that they confirm."""

    class Rewards:
        number = 0

        def batch(self, learners, generator):
            self.number += 1
            data = still(rows(64, seed=self.number))
            return data._replace(rewards=torch.stack([-data.rewards[0], data.rewards[1]]))

    settings = SacSettings(0.5, 0.05, 3e-3, 1.0, 0.01, -1.0, "fp32")
    one = SoftActorCritic.initial(settings, 3, 2, (32, 32), seeded(1))
    tuning = FineTuning(one.copies(2), Rewards(), StopRule(200, 10, still(rows(80, seed=4321))))
    before = tuning.learners.bellman_error(tuning.stop.held_out, seeded())
    measured = tuning.run_to(400, seeded())
    assert measured["policy_update"][0] <= 20
    assert measured["policy_update"][1] > 200
    assert measured["held_out_bellman_error"][1] < 0.1 * before[1]
    assert tuning.learners.bellman_error(tuning.stop.held_out, seeded())[0] > 2 * before[0]


def still(data):
    """The same rows in a world that does not move, where the reward is the sum of the state."""
    return data._replace(next_observations=data.observations, rewards=data.observations.sum(-1))


@pytest.mark.parametrize("values", [{"stop_patience": 0}, {"stop_interval": 0}])
def test_what_is_no_rule(values):
    with pytest.raises(ValueError, match="greater than 0"):
        StopSettings(**values)
