"""`python -m suite.cli`, where the `offmap` script is not on the path."""

from suite.cli import main

main()
