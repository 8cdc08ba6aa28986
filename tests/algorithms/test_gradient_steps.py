"""What training runs ten thousand times: it reads nothing back to the host, and a GPU computes the same."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from algorithms.grbal import Grbal, GrbalTrain
from algorithms.kit.context.recurrent_context import TrialWindows
from algorithms.kit.model_based.relabeling import AdaptedModel, Relabeling, RelabelSettings, StoredExperience
from algorithms.kit.networks import frozen, repeat_ensemble
from algorithms.kit.off_policy.fine_tuning import FineTuning
from algorithms.mier import Mier, MierTrain
from algorithms.mql import FineTuning as MqlFineTuning
from algorithms.mql import Mql, MqlAdapt, MqlTrain
from algorithms.pearl import Pearl, PearlTrain
from algorithms.recurrent_sac import RecurrentSac, RecurrentSacTrain
from algorithms.rl2 import Rl2, Rl2Train
from suite.bench.rl2 import STEPS as STEPS_OF_A_TRIAL
from suite.bench.rl2 import noise

MIER = {
    "policy_hidden": (32, 32, 32), "model_hidden": (32, 32, 32), "task_batch": 16, "meta_batch": 3,
    "initial_transitions": 40, "learn_initial_context": True,
}  # fmt: skip
PEARL = {
    "policy_hidden": (32, 32, 32), "encoder_hidden": (32, 32, 32), "meta_batch": 3, "batch": 16, "context_batch": 16,
    "initial_transitions": 40,
}  # fmt: skip
MQL = {"hidden": (32, 32), "context_hidden": 4, "history_length": 5, "batch": 16, "burn_in": 0,
       "initial_transitions": 40, "initial_episode": 1.0}  # fmt: skip
GRBAL = {
    "model_hidden": (32, 32, 32), "past": 3, "future": 3, "initial_transitions": 40, "steps_per_iteration": 2,
    "validation_fraction": 0.0,
}  # fmt: skip
RECURRENT_SAC = {"trial_transitions": 20, "initial_steps": 80, "batch": 3, "hidden": 8, "head_hidden": (16, 16)}
STEPS = {
    "mier, reward": (Mier, MierTrain, MIER | {"predicts": "reward"}),
    "mier, dynamics": (Mier, MierTrain, MIER | {"policy_batch": 20, "temperature": 0.5}),
    "pearl, value": (Pearl, PearlTrain, PEARL | {"pre_tanh_weight": 0.1}),
    "pearl, twin_q": (Pearl, PearlTrain, PEARL | {"sac_variant": "twin_q", "next_observation_in_context": True}),
    "mql": (Mql, MqlTrain, MQL | {"policy_delay": 1}),
    "grbal": (Grbal, GrbalTrain, GRBAL),
    "recurrent-sac": (RecurrentSac, RecurrentSacTrain, RECURRENT_SAC),
    "fine-tuning": (Mier, MierTrain, MIER),
    "mql, fine-tuning": (Mql, MqlTrain, MQL | {"policy_delay": 1}),
}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])]
READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal", "bincount"}


class NoReads(TorchDispatchMode):
    """Fails on an operation whose result the host has to wait for, on whatever device it runs."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.name().removeprefix("aten::").split(".")[0]
        indices = arguments[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        if name in READS or any(index is not None and index.dtype == torch.bool for index in indices):
            raise AssertionError(f"the step waits for {function.name()}")
        return function(*arguments, **(keywords or {}))


def build(kind, source, device, precision="fp32"):
    algorithm, config, values = STEPS[kind]
    config = config(**values, precision=precision)
    return algorithm(config, type(source)(), seed=0, device=torch.device(device), capacity=1000)


def stepping(kind, source, device, precision="fp32"):
    """A function that takes one gradient step past the initial exploration, and what the step trains."""
    algorithm = build(kind, source, device, precision)
    algorithm.iterate()
    if kind == "fine-tuning":
        return fine_tuning(algorithm)
    if kind == "mql, fine-tuning":
        return mql_fine_tuning(algorithm)
    return step_of(algorithm), trained_by(algorithm)


def step_of(algorithm):
    if isinstance(algorithm, Pearl | RecurrentSac):
        return algorithm.gradient_step
    if isinstance(algorithm, Mql):
        return lambda: algorithm.gradient_step(0)
    if isinstance(algorithm, Grbal):
        normalisation = algorithm.normalisation
        return lambda: algorithm.gradient_step(normalisation)
    return lambda: algorithm._gradient_step(np.array([2, 0, 3]))


def trained_by(algorithm):
    if isinstance(algorithm, Mql):
        return [*algorithm.learner.critics.parameters, *algorithm.learner.actor.parameters]
    if isinstance(algorithm, Grbal):
        return algorithm.theta
    if isinstance(algorithm, RecurrentSac):
        return algorithm.learner.parameters
    own = algorithm.encoder if isinstance(algorithm, Pearl) else algorithm.trained
    return [*own, *algorithm.sac.critics, *algorithm.sac.policy, *getattr(algorithm.sac, "value", [])]


def fine_tuning(mier):
    """A step of fine-tuning two tasks on relabeled experience, long before the next relabeling."""
    settings = RelabelSettings(
        relabel_interval=100, relabel_transitions=40, relabel_tasks=4, relabel_capacity=99, batch=16, real_fraction=0.25
    )
    contexts = torch.linspace(-1, 1, 2 * mier.config.context_dim).reshape(2, -1).to(mier.device)
    real = mier.store.gather(mier.everything.sample(np.array([0, 1]), 8, mier.generator))
    stored = StoredExperience(mier.store, mier.everything, mier.source.terminated)
    adapted = AdaptedModel(mier.model, repeat_ensemble(frozen(mier.theta), 2), contexts)
    tuning = FineTuning(mier.sac.copies(2), Relabeling(settings, stored, adapted, contexts, real, updates=100))

    def step():
        return tuning.run_to(tuning.updates + 1, mier.generator)

    step()
    return step, [*tuning.learners.critics, *tuning.learners.policy]


def mql_fine_tuning(mql):
    """A step of two test tasks on the weighted replay."""
    data = mql.store.gather(mql.everything.sample(np.array([0, 0]), 8, mql.generator))
    new = TrialWindows(data, torch.arange(8, device=mql.device).expand(2, -1), mql.config.history_length)
    tuning = MqlFineTuning(mql, MqlAdapt(new_data_updates=0, replay_batch=16), new, mql.generator)
    return tuning.update, [*tuning.learners.critics.parameters, *tuning.learners.actor.parameters]


def test_a_read_is_noticed():
    values = torch.arange(3.0)
    for read in (lambda: float(values.sum()), lambda: values[values > 1], lambda: values.nonzero(), values[0].item):
        with NoReads(), pytest.raises(AssertionError, match="waits for"):
            read()
    with NoReads():
        values[torch.tensor([0, 2])] += 1


@pytest.mark.parametrize("kind", STEPS)
def test_a_gradient_step_reads_nothing_back(random_source, kind):
    step, _ = stepping(kind, random_source, "cpu")
    step()
    with NoReads():
        losses = step()
    assert all(torch.isfinite(value).all() for value in losses.values())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_recurrent_gradient_step_reads_nothing_back(random_source, kind):
    config = Rl2Train(cell=kind, trial_transitions=20, baseline="learned", gradient_clip=0.5)
    rl2 = Rl2(config, random_source, seed=0, device=torch.device("cpu"), capacity=1)
    advantages, targets = torch.randn(2, STEPS_OF_A_TRIAL, 3, generator=rl2.generator)
    trials = noise(rl2, 3)
    with NoReads():
        report = rl2.ppo.gradient_step(trials, advantages, targets)
    assert all(torch.isfinite(value) for value in report.values())


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", STEPS)
def test_a_gradient_step_never_waits_for_the_gpu(random_source, kind, precision):
    step, _ = stepping(kind, random_source, "cuda", precision)
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [step() for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(torch.isfinite(value).all() for value in losses[-1].values())


@pytest.fixture
def same_draws(monkeypatch):
    """Random numbers of every device come from one stream on the host; the fixture starts it anew."""
    stream = torch.Generator()

    def drawing(original):
        def draw(*shape, generator=None, device=None, dtype=None):
            return original(*shape, generator=stream, dtype=dtype).to(device or "cpu")

        return draw

    for name in ("rand", "randn", "randint"):
        monkeypatch.setattr(torch, name, drawing(getattr(torch, name)))
    return lambda: stream.manual_seed(11)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("device", DEVICES)
def test_devices_agree_on_losses_and_gradients(random_source, same_draws, kind, device):
    """From the same random numbers, weights and data; on the CPU: a step depends on nothing else."""
    results = []
    for where in ("cpu", device):
        same_draws()
        step, trained = stepping(kind, random_source, where)
        losses = step()
        results.append([value.cpu() for value in (*losses.values(), *(parameter.grad for parameter in trained))])
        assert len(losses) >= 2
    for expected, value in zip(*results):
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(kind for kind in STEPS if "fine-tuning" not in kind))
@pytest.mark.parametrize("device", DEVICES)
def test_a_state_continues_on_the_device_its_tensors_are_on(random_source, kind, device):
    """Checkpoints come back with every tensor on the device, a generator's state too."""

    def moved(state):
        if isinstance(state, torch.Tensor):
            return state.clone().to(device)
        if isinstance(state, dict):
            return {name: moved(part) for name, part in state.items()}
        return [moved(part) for part in state] if isinstance(state, list) else state

    algorithm, again = build(kind, random_source, device), build(kind, random_source, device)
    algorithm.iterate()
    step_of(algorithm)()
    again.load_state(moved(algorithm.state()), [algorithm.log().cpu()])
    for name, value in step_of(algorithm)().items():
        assert torch.isfinite(value).all(), name
    step_of(again)()
    for left, right in zip(trained_by(algorithm), trained_by(again)):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-7)
