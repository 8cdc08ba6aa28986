"""Carrying out one run: meta-training, meta-test, checkpoints, and the process that does it."""
