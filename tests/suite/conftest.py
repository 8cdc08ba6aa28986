"""Calling the command line in this process, as a user's shell would."""

from typing import NamedTuple

import pytest

from suite.cli import main


class Answer(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def offmap(capsys):
    """A function (*arguments) -> Answer; an unexpected error comes through as the exception that it is."""

    def call(*arguments) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Answer(left.value.code or 0, printed.out, printed.err)

    return call


@pytest.fixture
def refused(offmap):
    """A function (*arguments) -> message: the command must call it a user's mistake, and in one message."""

    def call(*arguments) -> str:
        answer = offmap(*arguments)
        assert answer.code == 2
        assert answer.out == ""
        assert "Traceback" not in answer.err
        return answer.err

    return call
