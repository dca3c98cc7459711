"""The base class of errors for users."""


class EmofuseError(Exception):
    """An error that the user can fix.

    The message says what is wrong (with file and row), what was expected, and what to do. The command line prints it
    without a traceback and exits with code 1.
    """
