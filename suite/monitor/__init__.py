"""How far the runs of a results folder are, and what Slurm knows of them."""
