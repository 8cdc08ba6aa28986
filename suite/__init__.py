"""Experiment -> runs -> records: the protocol, storage, executors and the command line."""
