"""What tests look at between a gradient and its step."""

from fedray.learning import Hook


class Seen(Hook):
    """Shows every network to a function, ``see(name, network)``, before it takes a step."""

    def __init__(self, see):
        self._see = see

    def gradient(self, name, network):
        self._see(name, network)
