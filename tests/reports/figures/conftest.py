"""Gives tests of figures the results that they draw."""

import pytest

from reports.load import load


@pytest.fixture(scope="session")
def results(rich):
    return load(rich)
