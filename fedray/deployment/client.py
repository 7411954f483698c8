"""The Flower ClientApp of a site: the experiment's own, and what the server asks of real tiles without seeing one."""

from collections.abc import Mapping
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedray.deployment.audit import AuditLog, described
from fedray.deployment.kept import Answer, keeping
from fedray.deployment.measures import CENTRE, MEASURE, located, measured
from fedray.deployment.policy import Policy, PolicyError
from fedray.federation import client_app as experiment_app

OF_TILES: Mapping[str, Answer] = {CENTRE: located, MEASURE: measured}
"""What answers questions about real tiles, by the message's type."""


class SiteApp(ClientApp):
    """Answers what the experiment's app answers, with a state that outlasts the process, within the site's rules.

    The rules come last: what the app's own mods have made of a reply is what would leave.
    """

    def __init__(self, policy: Policy | None = None, log: AuditLog | None = None) -> None:
        """Stand ready.

        Args:
            policy: Rules of the site; unset: none.
            log: Of what comes in and goes out; unset: none is kept.
        """
        super().__init__()
        self._policy, self._log = policy or Policy(), log

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message.

        Raises:
            PolicyError: It, or the answer, breaks a rule: nothing leaves but this.
            OSError: It cannot be logged: nothing leaves.
        """
        self._note("in", described(message, "received"))
        kind = message.metadata.message_type
        try:
            self._policy.check_request(message)
            reply = keeping(message, context, OF_TILES.get(kind, experiment_app))
            self._policy.check_reply(message, reply)
        except Exception as error:
            decision = "refused" if isinstance(error, PolicyError) else "failed"
            self._note("out", {"kind": kind, "decision": decision, "error": f"{type(error).__name__}: {error}"})
            raise
        self._note("out", described(reply, "sent"))
        return reply

    def _note(self, direction: str, entry: Mapping[str, Any]) -> None:
        if self._log is not None:
            self._log.add({"direction": direction, **entry})


client_app = SiteApp()
