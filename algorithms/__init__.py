"""Algorithms: one file each, on the kit; siblings never import one another."""
