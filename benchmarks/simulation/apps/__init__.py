"""What the clients of each case do. Every module has ``initial_weights``, ``update`` and ``client_app``."""
