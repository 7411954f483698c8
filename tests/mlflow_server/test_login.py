"""How long wrong passwords make one wait, by a clock of the test's; test_server.py has the whole on a server."""

import importlib.util

import pytest

from tests.support.servers import MLFLOW


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def attempts(clock):
    spec = importlib.util.spec_from_file_location("fedray_login", MLFLOW / "fedray_login.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Attempts(now=lambda: clock[0])


ADA, BOB = ("10.0.0.1", "ada"), ("10.0.0.1", "bob")


def test_the_wait_doubles_up_to_a_minute(attempts, clock):
    waits = []
    for _ in range(13):
        attempts.wrong(ADA)
        waits.append(attempts.wait_s(ADA))
        clock[0] += waits[-1]
        assert attempts.wait_s(ADA) == 0
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_nobody_else_waits_and_a_right_password_ends_it(attempts, clock):
    for _ in range(6):
        attempts.wrong(ADA)
    assert attempts.wait_s(ADA) == 2
    assert attempts.wait_s(BOB) == 0 and attempts.wait_s(("10.0.0.2", "ada")) == 0
    clock[0] += 2
    attempts.right(ADA)
    attempts.wrong(ADA)
    assert attempts.wait_s(ADA) == 0


def test_it_forgets(attempts, clock):
    for _ in range(9):
        attempts.wrong(ADA)
    clock[0] += 901
    attempts.wrong(ADA)
    assert attempts.wait_s(ADA) == 0


def test_what_it_remembers_is_bounded(attempts):
    for index in range(20_000):
        attempts.wrong((str(index), "ada"))
    assert len(attempts._wrong) == 10_000
