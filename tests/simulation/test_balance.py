from collections import deque
from types import SimpleNamespace

import pytest

from fedray.simulation.balance import MIN_LOT_S, Estimates, take_lot


def deliveries(count: int) -> list:
    return [SimpleNamespace(node_id=node_id, estimate_s=0.0) for node_id in range(count)]


def estimates(seconds: list[float]) -> Estimates:
    known = Estimates()
    for delivery, value in zip(deliveries(len(seconds)), seconds, strict=True):
        known.note(delivery.node_id, value)
    return known


def cut(seconds: list[float], num_workers: int) -> list[list[float]]:
    """Simulate workers that each take a lot when they are free. Returns the seconds of each lot, by worker."""
    known, free_at, lots = estimates(seconds), [0.0] * num_workers, [[] for _ in range(num_workers)]
    pending = known.longest_first(deliveries(len(seconds)))
    while pending:
        worker = free_at.index(min(free_at))
        lot = take_lot(pending, num_workers, sum(seconds))
        lots[worker].append(sum(seconds[d.node_id] for d in lot))
        free_at[worker] += lots[worker][-1]
    return lots


def test_the_shorter_of_the_last_two_times_counts_and_the_unknown_are_average():
    known = estimates([1.0, 3.0])
    for seconds, estimate in ((2.0, 1.0), (5.0, 2.0), (2.5, 2.5)):
        known.note(0, seconds)
        expected = {delivery.node_id: delivery.estimate_s for delivery in known.longest_first(deliveries(3))}
        assert expected == {0: estimate, 1: 3.0, 2: pytest.approx((estimate + 3) / 2)}
    assert [d.estimate_s for d in Estimates().longest_first(deliveries(2))] == [0.0, 0.0]


def test_the_longest_come_first():
    known = estimates([1.0, 3.0, 2.0])
    assert [d.node_id for d in known.longest_first(deliveries(3))] == [1, 2, 0]


def test_short_work_is_one_lot_a_worker():
    for all_s in (0.001, 4 * MIN_LOT_S):
        lots = cut([all_s / 97] * 97, num_workers=4)
        assert [len(of_worker) for of_worker in lots] == [1, 1, 1, 1]
        assert lots[0] == pytest.approx(lots[3], rel=0.1)


@pytest.mark.parametrize("num_workers", [1, 2, 7])
@pytest.mark.parametrize("longest", [1.0, 5.0])
def test_workers_end_together(num_workers, longest):
    seconds = [0.05 * (1 + i % 7) for i in range(100)] + [longest]
    ends = [sum(of_worker) for of_worker in cut(seconds, num_workers)]
    assert max(ends) <= 1.05 * max(sum(seconds) / num_workers, longest)
    assert sum(ends) == pytest.approx(sum(seconds))


def test_nothing_known_means_small_lots_first():
    pending = deque(deliveries(100))
    assert len(take_lot(pending, 2, 0.0)) == 13
    assert len(pending) == 87


def test_clients_at_home_come_first_and_others_if_there_are_none():
    pending = estimates([1.0] * 10).longest_first(deliveries(10))
    lot = take_lot(pending, 1, 10.0, lambda delivery: delivery.node_id >= 8)
    assert [d.node_id for d in lot] == [8, 9]
    assert [d.node_id for d in pending] == list(range(8))
    assert take_lot(pending, 1, 10.0, lambda delivery: False)[0].node_id == 0
    assert take_lot(deque(), 1, 0.0) == []
