"""The root of all errors that are for the user."""


class UserError(Exception):
    """An error whose message is all that a user needs: the rule, the value and the remedy.

    Jobs print the message alone, without a traceback, and end with status 2. Each room derives its own error from this
    and from the built-in one that says whether a value or a run was at fault. A bug of ours is no such error.
    """
