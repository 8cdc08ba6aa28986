"""Experiment -> runs -> records, room by room; each room imports only those below it.

- `bench`: the declared speed and memory figures
- `cli`: the command line
- `check`: whether an algorithm or a family of anyone's is what the suite expects
- `plan`, `calibration`: what would run, and what it costs
- `executors`: where runs are carried out: on this machine, on a Slurm cluster, in this very process
- `run`, `monitor`: carrying out one run; how far all of them are
- `results`: the results folder on disk: its layout, locks, records and states
- `experiment`: what is declared, and what it stands for
- `errors`: a mistake of the user's
"""
