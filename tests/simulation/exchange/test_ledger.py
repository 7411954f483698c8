import math

from flwr.app import Metadata, RecordDict
from flwr.common.constant import ErrorCode

from fedray.simulation.errors import DeadlineExceededError
from fedray.simulation.exchange.balance import Estimates
from fedray.simulation.exchange.delivery import Delivery
from fedray.simulation.exchange.ledger import Ledger

HERE = object()


def deliveries(count: int) -> list[Delivery]:
    return [Delivery(Metadata(1, f"m{node}", 1, node, "", "", 0.0, 60.0, "train"), None) for node in range(count)]


def next_lot(ledger: Ledger, num_idle: int = 1) -> list[int]:
    return [delivery.node_id for delivery in ledger.next_lot(num_idle, math.inf, lambda delivery: 0)]


def ledger_of(members: list[Delivery], estimates: Estimates | None = None) -> tuple[Ledger, list]:
    finished: list[tuple[list[int], bool]] = []
    ledger = Ledger(
        members, estimates or Estimates(), lambda some, last: finished.append(([d.node_id for d in some], last))
    )
    return ledger, finished


def test_each_is_passed_on_once_and_the_last_as_such():
    members = deliveries(3)
    ledger, finished = ledger_of(members)
    ledger.finish_merged(members[:2], content := RecordDict())
    assert not ledger.done
    assert members[0].merged is members[1].merged and members[0].merged.content is content
    ledger.fail([members[2]], DeadlineExceededError("late"))
    assert members[2].error.code == ErrorCode.MESSAGE_UNAVAILABLE
    ledger.finish(members)
    assert ledger.done and finished == [([0, 1], False), ([2], True)]


def test_what_runs_again_forgets_what_came_back_and_what_is_finished_or_forgotten_does_not_run():
    members = deliveries(4)
    ledger, _ = ledger_of(members)
    assert next_lot(ledger) == [0, 1, 2, 3] and not ledger.any_waiting
    ledger.finish([members[0]])
    ledger.forget({members[1].message_id})
    members[2].changes_state = True
    ledger.run_again(members)
    assert not members[2].changes_state
    assert next_lot(ledger) == [2, 3]
    assert ledger.unfinished() == members[2:]


def test_after_a_death_each_gets_a_lot_of_its_own_before_others_run():
    members = deliveries(4)
    ledger, _ = ledger_of(members)
    assert next_lot(ledger, num_idle=2) == [0, 1]
    ledger.run_alone(members[:2])
    assert [next_lot(ledger) for _ in range(3)] == [[1], [0], [2, 3]]
    ledger.run_alone(members)
    ledger.stop()
    assert not ledger.any_waiting and next_lot(ledger) == [] and not ledger.done


def test_the_longest_come_first_as_soon_as_times_are_known():
    members, estimates = deliveries(3), Estimates()
    ledger, _ = ledger_of(members, estimates)
    for node_id, seconds in enumerate((1.0, 3.0, 2.0)):
        estimates.note(node_id, seconds, HERE)
    ledger.learn()
    assert next_lot(ledger) == [1, 2, 0]
