"""Losses and networks of off-policy actor-critic methods."""
