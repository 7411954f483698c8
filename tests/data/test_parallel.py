"""Order, bounds, and that nothing is being read once a slide is closed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from fedray.data.parallel import in_order


def test_results_come_in_order_and_few_are_worked_on() -> None:
    started = 0

    def work(item: int) -> int:
        nonlocal started
        started += 1
        return item * item

    with ThreadPoolExecutor(3) as executor, closing(in_order(executor, work, range(100), 4)) as results:
        for index, result in enumerate(results):
            assert result == index * index
            assert started <= index + 4


def test_what_runs_is_waited_for_and_what_does_not_is_dropped() -> None:
    """Otherwise a thread would go on reading from a file that is closed."""
    running, release, finished = threading.Event(), threading.Event(), []

    def work(item: int) -> int:
        if item == 1:
            running.set()
            release.wait(30)
        finished.append(item)
        return item

    with ThreadPoolExecutor(1) as executor:
        results = in_order(executor, work, range(5), 4)
        assert next(results) == 0
        running.wait(30)
        threading.Timer(0.05, release.set).start()
        results.close()
        assert finished == [0, 1]


def test_an_error_is_raised_at_its_place() -> None:
    def work(item: int) -> float:
        return 1 / (item - 2)

    with ThreadPoolExecutor(2) as executor:
        results = in_order(executor, work, range(5), 3)
        assert [next(results), next(results)] == [-0.5, -1.0]
        with pytest.raises(ZeroDivisionError):
            next(results)
