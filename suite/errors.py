"""The one exception that stands for a mistake of the user's."""


class UserError(Exception):
    """A mistake of the user's; the command line prints it without a traceback and exits with 2."""
