"""What a contract suite is: tests that any entry of a registry has to pass, without pytest."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar


class Suite:
    """Tests as methods ``test_*``; each is given what is tested, and asserts with a message that says what is wrong.

    pytest collects them in a subclass, once for every case that it is parametrised with::

        @pytest.mark.parametrize("metric", [MyMetric])
        class TestMine(MetricSuite):
            pass

    :meth:`check` runs them without pytest.
    """

    given: ClassVar[tuple[str, ...]]
    """Names of what each test takes, in order."""

    @classmethod
    def check(cls, *given: Any) -> None:
        """Run all tests.

        Args:
            given: What is tested, in the order of :attr:`given`.

        Raises:
            AssertionError: A line for each test that failed.
        """
        failed = []
        for name, test in cls._tests():
            try:
                test(cls(), *given)
            except Exception as error:  # whatever it is, the next test is run
                failed.append(f"{name}: {type(error).__name__}: {error}")
        assert not failed, "\n".join([f"{len(failed)} of {len(list(cls._tests()))} tests failed:", *failed])

    @classmethod
    def _tests(cls) -> Iterator[tuple[str, Callable[..., None]]]:
        for name, test in inspect.getmembers(cls, inspect.isfunction):
            if name.startswith("test_"):
                yield name, test
