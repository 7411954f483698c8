import gc
import math
import weakref

from fedray.simulation.workers.timers import Timers


class Thing:
    def act(self) -> None:
        pass


def test_what_is_due_comes_in_order_and_once():
    timers, done = Timers(), []
    for when in (3.0, 1.0, 2.0):
        timers.at(when, lambda when=when: done.append(when))
    timers.at(math.inf, lambda: done.append(math.inf))
    assert timers.next() == 1.0
    for action in timers.due(2.5):
        action()
    assert done == [1.0, 2.0]
    assert timers.next() == 3.0
    assert timers.due(2.5) == []


def test_a_cancelled_timer_is_gone_with_all_it_refers_to():
    timers, thing = Timers(), Thing()
    timer = timers.at(1.0, thing.act)
    alive = weakref.ref(thing)
    timer.cancel()
    del thing
    gc.collect()
    assert alive() is None
    assert timers.next() == math.inf
    assert timers.due(5.0) == []


def test_cancelled_timers_do_not_pile_up():
    timers = Timers()
    for _ in range(10_000):
        timers.at(1e9, print).cancel()
    assert len(timers._heap) < 200
