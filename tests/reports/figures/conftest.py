"""Gives tests of figures the results that they draw."""

import pytest

from reports.reading.load import load


@pytest.fixture(scope="session")
def results(rich):
    return load(rich)
