"""What can go wrong with networks: they cannot be built as configured, or their training diverged."""

from fedray.errors import UserError


class ModelError(UserError, ValueError):
    """A network cannot be built as configured. The message names the rule, the value and the remedy."""


class DivergedError(UserError, RuntimeError):
    """Training diverged: a loss or a weight is not finite, or a loss has exploded.

    The message names the loss or the array, the round, and the remedy.
    """
