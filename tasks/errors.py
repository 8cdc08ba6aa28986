"""The one exception that stands for a mistake of the user's, on the lowest floor so that every floor can raise it."""


class UserError(Exception):
    """A mistake of the user's; the command line prints it without a traceback and exits with 2."""
