"""Executors carry out prepared training folders: on this machine, on a Slurm cluster, or in this very process."""
