"""Moving averages of weights."""


def warm_decay(decay: float, num_updates: int) -> float:
    """Return the decay of a moving average after t updates: at most (1 + t) / (10 + t).

    So a short run does not average its random start.
    """
    return min(decay, (1 + num_updates) / (10 + num_updates))
