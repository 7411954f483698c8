from collections import deque
from types import SimpleNamespace

import pytest

from fedray.simulation.balance import MIN_LOT_S, Estimates, take_lot


def deliveries(count: int) -> list:
    return [SimpleNamespace(node_id=node_id) for node_id in range(count)]


def estimates(seconds: list[float]) -> Estimates:
    known = Estimates()
    for delivery, value in zip(deliveries(len(seconds)), seconds, strict=True):
        known.note(delivery, value)
    return known


def everywhere(delivery) -> bool:
    return True


def cut(seconds: list[float], num_workers: int) -> list[list[float]]:
    """Simulate workers that each take a lot when they are free. Returns the seconds of each lot, by worker."""
    known, free_at, lots = estimates(seconds), [0.0] * num_workers, [[] for _ in range(num_workers)]
    pending = known.longest_first(deliveries(len(seconds)))
    while pending:
        worker = free_at.index(min(free_at))
        num_idle = sum(at <= free_at[worker] for at in free_at)
        lot = take_lot(pending, known, num_idle, num_workers, everywhere)
        lots[worker].append(sum(seconds[d.node_id] for d in lot))
        free_at[worker] += lots[worker][-1]
    return lots


def test_times_are_remembered_and_the_unknown_are_average():
    known = estimates([1.0, 3.0])
    known.note(SimpleNamespace(node_id=0), 2.0)
    assert known.of(SimpleNamespace(node_id=0)) == 1.5
    assert known.of(SimpleNamespace(node_id=7)) == pytest.approx(2.25)
    assert Estimates().of(SimpleNamespace(node_id=7)) == 0.0


def test_the_longest_come_first():
    known = estimates([1.0, 3.0, 2.0])
    assert [d.node_id for d in known.longest_first(deliveries(3))] == [1, 2, 0]


def test_short_work_is_one_lot_a_worker():
    lots = cut([MIN_LOT_S / 500] * 100, num_workers=4)
    assert [len(of_worker) for of_worker in lots] == [1, 1, 1, 1]
    assert lots[0] == pytest.approx(lots[3])


@pytest.mark.parametrize("num_workers", [1, 2, 7])
@pytest.mark.parametrize("longest", [1.0, 5.0])
def test_workers_end_together(num_workers, longest):
    seconds = [0.05 * (1 + i % 7) for i in range(100)] + [longest]
    ends = [sum(of_worker) for of_worker in cut(seconds, num_workers)]
    assert max(ends) <= 1.05 * max(sum(seconds) / num_workers, longest)
    assert sum(ends) == pytest.approx(sum(seconds))


def test_nothing_known_means_small_lots_first():
    pending = deque(deliveries(100))
    assert len(take_lot(pending, Estimates(), 2, 2, everywhere)) == 13
    assert len(pending) == 87


def test_clients_at_home_come_first_and_others_if_there_are_none():
    pending = deque(deliveries(10))
    known = estimates([1.0] * 10)
    lot = take_lot(pending, known, 1, 1, lambda delivery: delivery.node_id >= 8)
    assert [d.node_id for d in lot] == [8, 9]
    assert [d.node_id for d in pending] == list(range(8))
    assert take_lot(pending, known, 1, 1, lambda delivery: False)[0].node_id == 0
    assert take_lot(deque(), known, 1, 1, everywhere) == []
