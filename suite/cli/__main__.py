"""`python -m suite.cli`, where the `offmap` script is not on the path."""

from suite.cli import main

if __name__ == "__main__":  # processes that this one starts import it anew
    main()
