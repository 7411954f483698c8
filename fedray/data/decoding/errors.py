"""What decoding raises."""

from fedray.data.store import StoreError


class DecodeError(StoreError):
    """An image file cannot be decoded, or what its pixels mean is not certain. Names the file and the reason."""


class MeaningError(ValueError):
    """What a file holds is readable, but not one tile with a certain meaning. The message is the reason alone."""
