"""A cluster for the tests of this folder: started once, clean at the beginning of each test."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from cluster_sweeps import LONG, MANY, QUICK, Sweep, declared, undisturbed
from local_slurm import NODES, missing, running_cluster

REQUIRED = "OFFMAP_REQUIRE_SLURM"  # set where a cluster that cannot be started is a failure, not a reason to skip


@pytest.fixture(scope="session")
def daemons():
    """The cluster of this session; its folder has a short name, as sockets need."""
    why = missing()
    if why and os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but no cluster can be started here: {why}")
    if why:
        pytest.skip(f"no cluster can be started here: {why}")
    folder = Path(tempfile.mkdtemp(prefix="offmap-slurm-"))
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with running_cluster(folder) as cluster:
            yield cluster
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(folder, ignore_errors=True)


def _interrupt(number, frame):
    """SIGTERM, such as that of `timeout`, ends the session as Ctrl-C does: the daemons are stopped."""
    raise KeyboardInterrupt


@pytest.fixture
def cluster(daemons, monkeypatch):
    """The cluster with all nodes idle and no jobs; `SLURM_CONF` points to it in this process."""
    for name, value in daemons.environment.items():
        monkeypatch.setenv(name, value)
    yield daemons
    daemons.cancel_all()
    for node in daemons.stopped:
        daemons.start_node(node)
    daemons.wait_for(lambda: daemons.node_states() == dict.fromkeys(NODES, "idle"), "the nodes are idle again")


@pytest.fixture(scope="session")
def quick_outcomes(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("quick") / "runs", QUICK, MANY)


@pytest.fixture(scope="session")
def long_outcomes(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("long") / "runs", LONG, 2)


@pytest.fixture
def quick(cluster, tmp_path, quick_outcomes):
    """A function (seeds, **executor) -> a sweep of runs that take a second or two."""
    return lambda seeds, **executor: Sweep(cluster, tmp_path, quick_outcomes, declared(QUICK, seeds, **executor))


@pytest.fixture
def long(cluster, tmp_path, long_outcomes):
    """A function (seeds, **executor) -> a sweep of runs that there is time to disturb."""
    return lambda seeds, **executor: Sweep(cluster, tmp_path, long_outcomes, declared(LONG, seeds, **executor))
