"""The Flower ClientApp of a site: the experiment's own, and what the server asks of real tiles without seeing one."""

from collections.abc import Mapping

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedray.deployment.kept import Answer, keeping
from fedray.deployment.measures import CENTRE, MEASURE, located, measured
from fedray.federation import client_app as experiment_app

OF_TILES: Mapping[str, Answer] = {CENTRE: located, MEASURE: measured}
"""What answers questions about real tiles, by the message's type."""


class SiteApp(ClientApp):
    """Answers what the experiment's app answers, with a state that outlasts the process."""

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message."""
        return keeping(message, context, OF_TILES.get(message.metadata.message_type, experiment_app))


client_app = SiteApp()
