"""The former name of `slurm_job`: jobs that were submitted under it, with `code: clean`, look here for their work."""

from suite.executors.slurm_job import Job

__all__ = ["Job"]
