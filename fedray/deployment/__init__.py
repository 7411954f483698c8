"""The same experiment on sites that keep their tiles, over Flower's SuperLink and SuperNodes."""
