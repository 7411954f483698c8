"""What can be wrong with a network's configuration."""


class ModelError(ValueError):
    """A network cannot be built as configured. The message names the rule, the value and the remedy."""
