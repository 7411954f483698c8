import math
from collections import deque
from types import SimpleNamespace

import pytest

from fedray.simulation.exchange.balance import Estimates, take_lot

HERE, THERE = object(), object()


def deliveries(count: int) -> list:
    return [SimpleNamespace(node_id=node_id, estimate_s=0.0) for node_id in range(count)]


def pending(seconds: list[float]) -> deque:
    known = Estimates()
    for node_id, value in enumerate(seconds):
        known.note(node_id, value, HERE)
    return known.longest_first(deliveries(len(seconds)))


def same(delivery) -> int:
    return 0


def test_the_shorter_of_the_last_two_times_counts_and_the_unknown_are_average():
    known = Estimates()
    for node_id, seconds in ((0, 1.0), (1, 3.0)):
        known.note(node_id, seconds, HERE)
    for seconds, estimate in ((2.0, 1.0), (5.0, 2.0), (2.5, 2.5)):
        known.note(0, seconds, HERE)
        expected = {delivery.node_id: delivery.estimate_s for delivery in known.longest_first(deliveries(3))}
        assert expected == {0: estimate, 1: 3.0, 2: pytest.approx((estimate + 3) / 2)}
    assert [d.estimate_s for d in Estimates().longest_first(deliveries(2))] == [0.0, 0.0]


def test_a_client_is_at_home_where_it_ran_last():
    known = Estimates()
    known.note(0, 1.0, HERE)
    assert known.was_on(0, HERE)
    known.note(0, 1.0, THERE)
    assert not known.was_on(0, HERE)
    assert known.was_on(0, THERE)
    assert not known.was_on(1, THERE)


def test_the_longest_come_first():
    assert [d.node_id for d in pending([1.0, 3.0, 2.0])] == [1, 2, 0]


@pytest.mark.parametrize("num_workers", [1, 2, 7])
@pytest.mark.parametrize("all_known", [True, False])
def test_idle_workers_get_equal_shares_in_one_lot_each(num_workers, all_known):
    seconds = [0.05 * (1 + i % 7) for i in range(100)]
    waiting = pending(seconds) if all_known else deque(deliveries(100))
    lots = [take_lot(waiting, num_workers - i, math.inf, same) for i in range(num_workers)]
    assert not waiting
    assert sorted(d.node_id for lot in lots for d in lot) == list(range(100))
    loads = [sum(seconds[d.node_id] for d in lot) if all_known else len(lot) for lot in lots]
    assert max(loads) - min(loads) <= (0.35 if all_known else 1)
    assert take_lot(waiting, 1, math.inf, same) == []


def test_a_limit_keeps_lots_short():
    waiting = pending([0.05] * 20)
    assert len(take_lot(waiting, 1, 0.1, same)) == 2
    assert len(take_lot(waiting, 1, 0.001, same)) == 1
    assert len(waiting) == 17
    assert len(take_lot(deque(deliveries(20)), 1, 0.1, same)) == 1


def test_near_clients_come_first_and_the_longest_of_them_before_the_others():
    waiting = pending([float(10 - i) for i in range(10)])
    lot = take_lot(waiting, 3, math.inf, lambda delivery: {8: 0, 9: 0, 3: 2}.get(delivery.node_id, 1))
    assert [d.node_id for d in lot] == [8, 9, 0, 1]
    assert [d.node_id for d in waiting] == [2, 3, 4, 5, 6, 7]
