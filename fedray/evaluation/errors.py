"""The one exception of this package."""

from fedray.errors import UserError


class EvaluationError(UserError, ValueError):
    """Images cannot be judged as asked. The message names the rule, the value and the remedy; it survives pickle."""
