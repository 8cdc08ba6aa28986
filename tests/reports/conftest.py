"""Gives tests of reports the synthetic results."""

import importlib.util
import sys
from pathlib import Path

import pytest

from reports.figures.catalogue import FIGURES
from reports.reading.load import load
from reports.report import write


@pytest.fixture(scope="session")
def synthetic():
    spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).with_name("synthetic.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def large(synthetic, monkeypatch):
    """The module that invents results as large as those of a paper."""
    monkeypatch.setitem(sys.modules, "synthetic", synthetic)
    spec = importlib.util.spec_from_file_location("large", Path(__file__).with_name("large.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def golden(tmp_path, synthetic):
    """Three seeds whose results are 22.5, 32.5 and 42.5 on test, 60, 70 and 80 on test_id, 2, 2 and 2 before."""
    for seed in (0, 1, 2):
        up = 10 * seed
        synthetic.simple_run(
            tmp_path, "mier", seed, test=[[10 + up, 20 + up], [30 + up]], test_id=[[60 + up], [60 + up]],
            before=[[1, 3], [2]],
        )  # fmt: skip
    return tmp_path


@pytest.fixture(scope="session")
def rich(tmp_path_factory, synthetic):
    """A folder like a real one: five variants, three seeds, one of each kind of hole."""
    folder = tmp_path_factory.mktemp("rich")
    synthetic.rich_folder(folder, variants=("mier", "mier-wr", "pearl", "promp", "grbal"), num_tasks=4)
    return folder


@pytest.fixture(scope="session")
def build():
    """The path of the page about a results folder, written below it or somewhere else."""
    return lambda folder, out=None, mix=False: write(load(folder, mix), out or folder / "report")


@pytest.fixture
def one_figure(monkeypatch):
    """For tests that build pages and look at no figure: drawing is what takes time."""
    monkeypatch.setattr("reports.report.FIGURES", FIGURES[:1])
