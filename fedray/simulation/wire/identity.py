"""Who this process is, in Flower's eyes: a process-global that ``Message(...)`` reads."""

from flwr.supercore.task_identity import TaskIdentity


def identify(run_id: int, node_id: int) -> None:
    """Say for which run and node this process builds messages from now on."""
    TaskIdentity.task_id = 1  # as Flower's own simulation does: there are no tasks without a SuperLink
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = node_id
