"""Projected discriminators in a federation: heads travel and are averaged; everybody has the frozen network."""

import numpy as np
import pytest
from torch import distributed

from fedray.data import TileShape
from fedray.experiment.engines.ray_train import _Average
from fedray.federation import client_app, shared_arrays
from fedray.federation.messages import ARRAYS, from_record
from fedray.tasks.gan import Gan
from fedray.testing import LocalGrid
from tests.support.federation import assert_close, first_state, plain_pass, run, run_interrupted

PROJECTED = {
    "gan__objective": "cgan-hinge", "gan__generator": "residual", "gan__discriminator": "projected",
    "gan__enlarge_to": 32, "gan__minibatch_stddev": True, "gan__n_critic": 1, "federation__local_steps": 2,
}  # fmt: skip
MODES = [
    {"federation__aggregate": "both"},
    {"federation__aggregate": "generator"},  # heads stay with their clients
    {"federation__mode": "md-gan"},  # heads swap
    {"gan__objective": "acgan-ns", "federation__strategy": "fedadam"},
]


class Overhearing(LocalGrid):
    """Keeps what clients send."""

    def __init__(self, num_clients):
        super().__init__(client_app, num_clients)
        self.replies = []

    def pull_messages(self, message_ids):
        replies = super().pull_messages(message_ids)
        self.replies += replies
        return replies


def test_a_round_is_the_mean_of_the_clients_heads_and_kilobytes_travel(small_config):
    config = small_config(**PROJECTED, federation__num_rounds=1)
    start = shared_arrays(first_state(config))
    grid = Overhearing(2)
    state, _, _ = run(config, grid=grid)
    clients = [plain_pass(config, client_id, start) for client_id in range(2)]
    total = sum(size for _, size, _ in clients)
    expected = {name: sum(gan.arrays()[name] * (size / total) for gan, size, _ in clients) for name in start}
    assert_close(shared_arrays(state), expected)
    for reply in grid.replies:
        arrays = from_record(reply.content.array_records[ARRAYS])
        heads = {name: value for name, value in arrays.items() if name.startswith("discriminator.")}
        assert heads and all(name.startswith("discriminator.heads.") for name in heads)
        assert sum(value.nbytes for value in heads.values()) < 60_000  # of width 8


@pytest.mark.parametrize("fields", MODES, ids=lambda fields: "-".join(fields.values()))
def test_every_mode_goes_on_from_a_checkpoint_as_if_nothing_had_been(fields, small_config, tmp_path):
    config = small_config(**{**PROJECTED, **fields}, federation__num_rounds=2)
    whole, reports, _ = run(config)
    resumed, rest, _ = run_interrupted(config, tmp_path, rounds=1)
    assert_close(shared_arrays(resumed), shared_arrays(whole))
    assert rest[-1].losses == pytest.approx(reports[-1].losses, rel=1e-5)
    largest = max(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert largest < 1_000_000, "a checkpoint holds heads, not the frozen network of 12 MB"


def test_workers_of_the_baseline_average_no_frozen_array(small_config, monkeypatch):
    """A mean of three equal numbers is not that number: 13 of 100 differ in the last digit."""
    config = small_config(**PROJECTED)
    gan = Gan(config.gan, TileShape(16, 3, 2), seed=0)
    before = {name: value.clone() for name, value in gan.discriminator.named_buffers()}
    monkeypatch.setattr(distributed, "all_reduce", lambda joined: joined.mul_(3.3))  # not three equal workers
    _Average(3).buffers(gan)
    changed = {name for name, value in gan.discriminator.named_buffers() if not np.array_equal(value, before[name])}
    assert changed and all(name.startswith("heads.") for name in changed)
