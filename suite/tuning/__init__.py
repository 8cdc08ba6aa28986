"""Searches for values of ours: declared, carried out in rungs on tuning splits, decided by one rule, and recorded."""
