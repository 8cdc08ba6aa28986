"""A Slurm that only takes notes, for what can be tested without a real one (`tests/cluster` has it)."""

import pytest

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
    """Its notes: `N.sh` and `N.env` of job N, `tested`, `cancelled`, `requeued`; `queue` is what it says of jobs."""
    folder = tmp_path_factory.mktemp("slurm")
    for name, script in SCRIPTS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("NOTES", str(folder))
    for name in ("SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    return folder
