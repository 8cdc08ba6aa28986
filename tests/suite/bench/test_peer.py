"""The peer is timed where it is installed and asked for, and is no dependency."""

import subprocess
import sys

import pytest

from suite.bench import peer
from suite.errors import UserError


def test_without_the_peer_the_error_says_how_to_install_it(monkeypatch, refused):
    monkeypatch.setattr(peer, "PACKAGES", ("sbx", "no_such_package"))
    with pytest.raises(
        UserError, match=r"no_such_package cannot be imported: install it with `pip install 'offmap\[be"
    ):
        peer.require_peer()
    assert "or leave --peer out" in refused("bench", "--peer")  # before anything is measured


def test_nothing_of_it_is_imported_unless_it_is_timed():
    code = (
        "import sys, suite.bench.peer, suite.bench.run; print([name for name in ('jax', 'sbx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_steps_of_both_are_timed(monkeypatch):
    for package in peer.PACKAGES:
        pytest.importorskip(package)
    monkeypatch.setattr(peer, "HIDDEN", ((16, 16),))
    monkeypatch.setattr(peer, "TRANSITIONS", 100)
    (figure,) = peer.peer_figures(rounds=1)
    assert figure.name == "SAC step, 16 x 2"
    assert figure.value > 0
    assert "of the peer's (sbx-rl), which takes" in figure.note
