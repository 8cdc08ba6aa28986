"""What the lite figures are made of."""

import pytest

from suite.bench import lite
from suite.experiment.budgets import budget_table


def test_gradient_steps_of_a_lite_training_by_hand():
    """MIER: 100 tasks explore for 300 each; of the other 270,000 steps an iteration takes 5 x (400 + 600)."""
    assert len(lite.SPLIT.train) == 100
    config, _ = lite._configs("mier")
    assert lite.training_steps(config) == 54 * config.gradient_steps
    assert lite.training_steps(config.model_copy(update={"initial_transitions": 4000})) == 0


def test_the_steps_are_those_of_the_budget():
    assert budget_table().lite["*"] == lite.ENV_STEPS


@pytest.mark.slow
def test_every_method_has_its_figures_and_they_add_up():
    figures = {figure.name: figure for figure in lite.lite_figures(rounds=1)}
    hours = 0.0
    for name in dict.fromkeys([*lite.METHODS, *lite.TIMED_WHOLE]):
        config, adapt = lite._configs(name)
        minutes = figures[f"{name}, lite training"].value
        if name in lite.TIMED_WHOLE:
            assert 0 < minutes < 120
        else:
            assert minutes == pytest.approx(figures[f"{name}, lite step"].value * lite.training_steps(config) / 60_000)
        hours += lite.TRAININGS * minutes / 60
        if name in lite.FINE_TUNED:
            update = figures[f"{name}, lite fine-tuning"].value / 1000
            hours += lite.METATESTS * lite.TESTED * adapt.updates * update / 3600
    assert figures["lite table"].value == pytest.approx(hours)
