"""`offmap bench`: the declared speed and memory figures, each measured in a process of its own."""
