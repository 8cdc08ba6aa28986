"""Calling the command line in this process, as a user's shell would, and a Slurm that only takes notes."""

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


SCRIPTS = {
    "sbatch": """case "$*" in
*--test-only*) echo "$@" >> "$NOTES/tested"; [ ! -f "$NOTES/refuse" ] || { cat "$NOTES/refuse" >&2; exit 1; };;
*) [ ! -f "$NOTES/full" ] || { echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }
   n=$(( $(cat "$NOTES/last" 2>/dev/null || echo 40) + 1 )); echo $n > "$NOTES/last"
   cp "$1" "$NOTES/$n.sh"; env > "$NOTES/$n.env"; echo "Submitted batch job $n";;
esac""",
    "squeue": 'cat "$NOTES/queue" 2>/dev/null || true',
    "scontrol": 'case $1 in requeue) echo $2 >> "$NOTES/requeued";; *) echo "MaxArraySize            = 4";; esac',
    "scancel": 'echo "$@" >> "$NOTES/cancelled"',
    "srun": "true",
}


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    """The notes of a Slurm that runs nothing (`tests/cluster` has one that does): the folder that it keeps them in.

    `N.sh` and `N.env` are the script and environment of job N, from 41 on; then `tested`, `cancelled` and `requeued`.
    It answers from `queue`, and refuses what is tested or submitted where there is `refuse` or `full`.
    """
    folder = tmp_path_factory.mktemp("slurm")
    for name, script in SCRIPTS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("NOTES", str(folder))
    for name in ("SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def submitted(tiny_experiment, tmp_path, slurm):
    """A function (**executor) -> results folder and training folders of four seeds, submitted as job 41."""

    from suite.executors.launch import submit_runs
    from suite.results.prepare import prepare

    def build(**executor):
        experiment = tiny_experiment(seeds=[0, 1, 2, 3], executor={"kind": "slurm", **executor})
        out = tmp_path / "out"
        folders = prepare(experiment, out)
        submit_runs(out, folders, experiment.executor)
        return out, folders

    return build


@pytest.fixture
def folder(tmp_path):
    """A training folder that this process works on."""
    from suite.results.json_files import write_json
    from suite.results.lock import owned

    made = tmp_path / "run"
    made.mkdir()
    write_json(made / "execution.json", {"env_steps": 1000, "milestones": []})
    with owned(made):
        yield made
