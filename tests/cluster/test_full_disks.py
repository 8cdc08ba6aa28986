"""Disks that fill up under a real Slurm: that of the nodes, and that of the results."""

from __future__ import annotations

import pytest
from disks import fill, small_disk

from suite.results.jobs import read_submissions

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def test_a_full_spool_holds_jobs_and_loses_none(quick):
    """Slurm takes the node out of service and holds the job; status says so, and cancelled, it can be resumed.

    To release the held job is no sure way: Slurm 22.05 may leave it waiting for ever, without a reason.
    """
    sweep = quick(2)
    with sweep.cluster.small_spool() as spool:
        filler = fill(spool)
        sweep.begin()
        sweep.cluster.wait_for(lambda: sweep.is_everywhere("held"), "all jobs are held")
        assert sweep.states() == ["held", "held"]
        filler.unlink()
        drained = [node for node, state in sweep.cluster.node_states().items() if state.startswith("drain")]
        sweep.cluster.ask("scontrol", "update", f"NodeName={','.join(drained)}", "State=RESUME")
        assert "2 to resume" in sweep.offmap("resume", sweep.out, "--detach")
        sweep.wait_until("done", "done")
        assert len(read_submissions(sweep.out)) == 2
        sweep.check()


def test_results_on_a_full_disk_say_so_and_continue(long, tmp_path):
    sweep = long(1)
    with small_disk(tmp_path / "disk", "30m") as disk:
        sweep.out = disk / "runs"
        sweep.begin()
        (folder,) = sweep.folders
        sweep.wait_for_checkpoint(folder)
        filler = fill(disk)
        sweep.cluster.wait_for(  # what the run gives back of the place of an old checkpoint is taken too
            lambda: fill(disk) and sweep.states() == ["failed"], "the run has failed"
        )
        assert "the disk is full" in sweep.status()[0]["reason"]
        kept = sweep.kept(folder)
        filler.unlink()
        assert "1 to resume" in sweep.offmap("resume", sweep.out, "--detach", "--failed")
        sweep.wait_until("done")
        assert (folder / "metrics.jsonl").read_bytes().startswith(kept)
        sweep.check()
