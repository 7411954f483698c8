"""The one exception of this package."""


class EvaluationError(ValueError):
    """Images cannot be judged as asked. The message names the rule, the value and the remedy; it survives pickle."""
