"""How far a study is: each step in one line, with the time that is gone and left."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from fedray.experiment.pages import headlines
from fedray.studies.performing import Outcome
from fedray.studies.steps import Step
from fedray.terminal import clock


class StudyLines:
    """Says each step that has ended in one line."""

    def __init__(
        self, steps: Mapping[str, Step], done: Collection[str], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to count the time.

        Args:
            steps: All, by fingerprint.
            done: Fingerprints of those that are done already.
            now_s: A clock, in seconds.
        """
        self._left, self._total = {key: step for key, step in steps.items() if key not in done}, len(steps)
        self._now_s, self._started = now_s, now_s()
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def first(self) -> str:
        """Say what there is to do."""
        done = self._total - len(self._left)
        return f"{self._total} steps" + (f", {done} of them done before: they are not run again" if done else "")

    def line(self, step: Step, outcome: Outcome) -> str:
        """Say the step that has just ended."""
        self._left.pop(step.fingerprint, None)
        if not outcome.failed:
            self._seconds[_what(step)].append(outcome.seconds)
        number = f"[{self._total - len(self._left):>{len(str(self._total))}}/{self._total}]"
        shown = [f"{heading} {outcome.scores[name]:.3g}" for heading, name in headlines(outcome.scores).items()]
        if outcome.told:
            shown.append(outcome.told)
        told = f"failed: {outcome.failed}" if outcome.failed else ", ".join([*shown, f"{outcome.seconds:.0f} s"])
        return f"{number} {step.name}: {told} | {clock(self._now_s() - self._started)} gone{self._time_left()}"

    def _time_left(self) -> str:
        """Estimate by what steps of the same kind took, and by how many ran at a time so far."""
        spent = [seconds for each in self._seconds.values() for seconds in each]
        if not spent or not self._left:
            return ""
        usual = sum(spent) / len(spent)
        known = {what: sum(each) / len(each) for what, each in self._seconds.items()}
        expected = sum(known.get(_what(step), usual) for step in self._left.values())
        at_a_time = max(1.0, sum(spent) / max(self._now_s() - self._started, 1e-9))
        return f", about {clock(expected / at_a_time)} left"


def _what(step: Step) -> str:
    return step.name.rpartition(", seed ")[0]
