"""The factor plot shows every value of every factor, and names each factor once."""

import importlib.util
from pathlib import Path

import pytest

from reports.figures import alt_comparisons, canvas, factors
from reports.numbers import sweeps


@pytest.fixture
def swept(tmp_path, synthetic):
    path = Path(__file__).parents[1] / "numbers" / "test_sweeps.py"
    spec = importlib.util.spec_from_file_location("of_sweeps", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_sweep(tmp_path, synthetic)


def test_every_value_is_a_point_with_the_single_combinations_beside_it(swept, synthetic):
    with canvas.house_style():
        ax = factors.factor_plot(swept, split=synthetic.SPLIT, ax=canvas.new_figure().add_subplot())
    frame = sweeps.effects(swept, synthetic.SPLIT)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "10", "0.1", "0.01"]
    assert [text.get_text() for text in ax.texts] == ["context dim", "learning rate"]
    lines = [list(line.get_ydata()) for line in ax.lines if line.get_linestyle() == "--" and len(line.get_ydata()) == 2]
    assert lines == [[5.5, 105.5], [56.0, 55.0]]
    dots = [sorted(line.get_ydata()) for line in ax.lines if line.get_marker() == "." and len(line.get_ydata()) == 2]
    assert dots == [[5.0, 6.0], [105.0, 106.0], [6.0, 106.0], [5.0, 105.0]]
    text = alt_comparisons.describe_factors(swept, synthetic.SPLIT)
    assert "MIER-wR context_dim 5: 5.5 [-58.0, 69.0]" in text
    assert len(frame) == 4


def test_long_names_of_factors_are_broken():
    assert factors._broken("steps_per_iteration") == "steps per\niteration"
    assert factors._broken("mier-wr: context_dim") == "mier-wr:\ncontext dim"
