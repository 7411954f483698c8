"""What can go wrong between a grid and its workers. Every error survives pickle."""

from ..errors import UserError


class SimulationError(UserError, RuntimeError):
    """A simulation cannot go on. The message names the rule, the numbers and the remedy."""


class NoWorkerError(SimulationError):
    """No worker process could start, so nothing can run."""


class WorkerDiedError(SimulationError):
    """Every worker that took this piece of work died over it."""


class DeadlineExceededError(SimulationError, TimeoutError):
    """A piece of work was not finished by its deadline."""


class StateLostError(SimulationError):
    """A client's state was lost with the only node that had it."""


class UnsoundRepliesError(SimulationError):
    """The replies of a round cannot be aggregated: not finite, or without any weight."""


def state_lost(whose: str, cause: str) -> StateLostError:
    """Make the error: whose state cannot be read, and Ray's error that says so."""
    remedy = "go on from a snapshot of the states (RayGrid.restore_state)"
    return StateLostError(f"{whose}: its state was lost with its node ({cause}); {remedy}")
