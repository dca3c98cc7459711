"""The error that a user can meet."""


class EmofuseError(Exception):
    """Something the user can put right.

    The message says what was found (with file and row where there is one), what was expected, and what to do.
    The command line prints it without a traceback and exits with code 1.
    """
