"""What is written down while trials are lived: as it was, and with what would be seen next."""

import numpy as np
import torch

from algorithms.kit.on_policy.recurrent_policy import RecurrentPolicy, Sizes
from algorithms.kit.on_policy.recurrent_ppo import PpoSettings, RecurrentPpo
from algorithms.kit.on_policy.trial_recorder import TrialRecorder
from tasks.spec import Transition

SETTINGS = PpoSettings(True, "learned", "batch", 0.9, 0.95, 0.2, 2, 1, None, 1e-3, 0.5, 0.5, 0.0)
ROWS, STEPS = 3, 4


def lived(ends_last):
    """A recorder of random trials, at whose end an episode is over in the rows `ends_last`; and what happened."""
    generator = torch.Generator().manual_seed(0)
    policy = RecurrentPolicy(Sizes("gru", 2, 2, 1, 4, initial_std=3.0), generator)
    recorder, draw = TrialRecorder(RecurrentPpo(SETTINGS, policy, generator), generator), np.random.default_rng(0)
    seen, state, applied = draw.standard_normal((STEPS + 1, ROWS, 2)).astype(np.float32), policy.blank(ROWS), []
    for step in range(STEPS):
        inputs = torch.as_tensor(seen[step])
        applied.append(recorder.act(seen[step], inputs, state))
        with torch.no_grad():
            state = policy.unroll(inputs.unsqueeze(0), state).state
        over = np.isin(np.arange(ROWS), ends_last) & (step == STEPS - 1)
        rewards = np.full(ROWS, step, np.float32)
        recorder.watch(Transition(seen[step], applied[-1], rewards, seen[step + 1], over), over)
    return policy, recorder, seen, state, applied


def test_it_keeps_whole_actions_and_applies_cut_ones():
    policy, recorder, seen, state, applied = lived([])
    trials = recorder.trials(torch.as_tensor, state)
    np.testing.assert_array_equal(trials.actions.clamp(-1, 1).numpy(), np.stack(applied))
    assert float(trials.actions.abs().max()) > 1
    np.testing.assert_array_equal(trials.inputs.numpy(), seen[:-1])
    assert trials.rewards[:, 0].tolist() == [0, 1, 2, 3]
    with torch.no_grad():
        output = policy.unroll(torch.as_tensor(seen), policy.blank(ROWS))
    torch.testing.assert_close(trials.log_probs, policy.log_probs(output.mean[:-1], trials.actions))
    torch.testing.assert_close(torch.cat([trials.values, trials.final_values.unsqueeze(0)]), output.values)


def test_behind_an_episode_that_is_over_comes_a_start_and_behind_a_cut_what_was_reached():
    _, recorder, seen, state, _ = lived([1])
    trials = recorder.trials(torch.as_tensor, state)
    np.testing.assert_array_equal(trials.final_inputs[0].numpy(), np.stack([seen[-1, 0], seen[0, 1], seen[-1, 2]]))
    assert trials.ends[-1].tolist() == [False, True, False]
    assert not trials.ends[:-1].any()
