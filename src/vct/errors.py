"""The one exception whose message is meant for the user."""


class UserError(Exception):
    """Something that a user can cause and mend.

    The message is one clear sentence: what was wrong, where, and what to do. The command line
    prints it without a traceback and exits with code 2.
    """
