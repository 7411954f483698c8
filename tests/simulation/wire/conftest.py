"""Flower's classes as they are in a worker, for a test."""

from collections.abc import Iterator

import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.app.message.typeddict import TypedDict

from fedray.simulation.wire.on_demand import serialise_on_demand
from fedray.simulation.wire.quick_records import make_records_quickly

CLASSES = (Array, ArrayRecord, MetricRecord, RecordDict, TypedDict, Message)


@pytest.fixture
def as_in_a_worker() -> Iterator[None]:
    """Change Flower's classes as a worker does, and change them back."""
    before = {kind: dict(vars(kind)) for kind in CLASSES}
    serialise_on_demand()
    make_records_quickly()
    yield
    for kind, had in before.items():
        for name, value in dict(vars(kind)).items():
            if name not in had:
                delattr(kind, name)
            elif value is not had[name]:
                setattr(kind, name, had[name])
