"""What both halves of every strategy must do, whatever its formula is."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedray.config import ConfigError, ExperimentConfig, override
from fedray.errors import UserError
from fedray.federation.client import report_metrics
from fedray.federation.messages import ARRAYS, METRICS, NUM_EXAMPLES, WEIGHT, from_record, losses_of, to_record
from fedray.federation.strategies import KeepsState
from fedray.federation.strategies.base import EXTRA, Algorithm, parted, separated
from fedray.learning import Arrays, Learner, PassReport
from fedray.tasks import Pass, shared_parts, task_of
from fedray.testing.local_grid import LocalGrid
from fedray.testing.small import SHAPE, noise_tiles
from fedray.testing.suite import Suite

ROUNDING = 1e-4
"""Of weights around 1: what float32 sums in several orders, and steps from them, may differ by."""

Move = Callable[[int, Arrays, int], Arrays]
"""Where a client's training would lead: of its number, the arrays that it was sent, and the round."""


class Round(NamedTuple):
    """What went into a round, and what came out of it."""

    sent: list[Arrays]
    """To each client, without what the halves tell each other."""
    arrays: Arrays
    metrics: Mapping[str, Any]


class StrategySuite(Suite):
    """Tests of a module with two halves, given as ``algorithm``, and of an experiment that it goes with, ``config``.

    The experiment is :func:`fedray.testing.small_experiment` with what the strategy needs. In the tests of the
    server's half clients do not train: each goes where the test wants it, and answers through its own half.
    """

    given = ("algorithm", "config")

    def test_every_client_is_sent_all_arrays_as_they_are(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """Under their names, beside what begins with :data:`EXTRA`."""
        sent, start = _plain(algorithm, config)[0].sent, _start(config)
        assert len(sent) == config.num_clients, f"{len(sent)} of {config.num_clients} clients were sent a message"
        for arrays in sent:
            _check_same(arrays, start, "what clients are sent", rounding=0.0)

    def test_aggregated_arrays_have_the_names_and_shapes_of_those_sent(
        self, algorithm: Algorithm, config: ExperimentConfig
    ) -> None:
        """Nothing of what the halves tell each other is left among them; losses and counts are there too."""
        found, start = _plain(algorithm, config)[0], _travelling(algorithm, config)
        assert found.arrays.keys() == start.keys(), (
            f"aggregated arrays must have the names of those sent; missing: {sorted(start.keys() - found.arrays)[:3]}, "
            f"too many: {sorted(found.arrays.keys() - start)[:3]}"
        )
        wrong = [name for name, value in found.arrays.items() if value.shape != start[name].shape]
        assert not wrong, f"{wrong[0]} was sent with shape {start[wrong[0]].shape}, and came back with another"
        assert found.metrics.get(NUM_EXAMPLES, 0) > 0, (
            f"the round's metrics must count {NUM_EXAMPLES!r}: aggregate with mean_losses, as COMMON does"
        )
        assert losses_of(found.metrics), "the round's metrics must have the networks' losses, as mean_losses has them"

    def test_the_order_of_clients_has_no_meaning(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """Beyond rounding: replies come in any order."""
        (turned,) = _Federation(algorithm, config, _scattered, order=-1).run(1)
        _check_same(turned.arrays, _plain(algorithm, config)[0].arrays, "results of replies in two orders")

    def test_where_all_clients_agree_the_server_follows(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """What optimisers train goes that way, near or far; statistics and counters are taken as they are."""
        start, found = _travelling(algorithm, config), _agreed(algorithm, config)
        wanted = {name: value for name, value in _scattered(0, _start(config), 1).items() if name in start}
        trained = [name for name in _trained(config) if name in start]
        for name in trained:
            way, gone = _way(start[name], wanted[name]), _way(start[name], found[name])
            assert (way * gone >= -ROUNDING * ROUNDING).all() and np.abs(gone).max() > 0, (
                f"all clients moved {name} one way, but the server did not follow"
            )
        others = {name: value for name, value in wanted.items() if name not in trained}
        _check_same({name: found[name] for name in others}, others, "what no optimiser trains, where all clients agree")

    def test_where_no_client_moves_nothing_moves(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """A federation that has arrived stays."""
        (found,) = _Federation(algorithm, config, lambda number, sent, round_index: sent).run(1)
        _check_same(found.arrays, _travelling(algorithm, config), "arrays that no client moved")

    def test_one_client_alone_counts_as_all_of_them_in_agreement(
        self, algorithm: Algorithm, config: ExperimentConfig
    ) -> None:
        """Its average is itself; or a federation of one is refused."""
        try:
            one = override(config, {"federation.num_clients": 1}, "test")
        except ConfigError:
            return
        (alone,) = _Federation(algorithm, one, _alike).run(1)
        _check_same(
            alone.arrays, _agreed(algorithm, config), "results of one client, and of several that agree with it"
        )

    def test_a_weight_is_a_number_of_clients_or_nothing(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """A client of weight 3 counts as three, or weights have no say at all."""
        num, plain = config.num_clients, _plain(algorithm, config)[0].arrays
        (weighted,) = _Federation(algorithm, config, _scattered, weights=[3.0] + [1.0] * (num - 1)).run(1)
        if _apart(weighted.arrays, plain) <= ROUNDING:
            return
        more = override(config, {"federation.num_clients": num + 2}, "test")

        def thrice(number: int, sent: Arrays, round_index: int) -> Arrays:
            return _scattered(max(0, number - 2), sent, round_index)

        (expected,) = _Federation(algorithm, more, thrice).run(1)
        _check_same(weighted.arrays, expected.arrays, "results of a client of weight 3, and of three such clients")

    def test_what_the_server_remembers_is_in_its_arrays(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """A run that goes on from a checkpoint, with a new strategy, gives what it would have given."""
        whole = _plain(algorithm, config)[-1]
        resumed = _Federation(algorithm, config, _scattered, fresh_every_round=True).run(2)[-1]
        _check_same(
            resumed.arrays, whole.arrays,
            "two rounds of one strategy, and of one made anew each round (what it remembers must be in arrays())",
        )  # fmt: skip

    def test_a_reply_that_is_not_finite_shows_or_is_left_out(
        self, algorithm: Algorithm, config: ExperimentConfig
    ) -> None:
        """The round refuses arrays with a NaN: a strategy must neither hide it nor pass half of it on."""
        name = next((name for name in _trained(config) if name in _travelling(algorithm, config)), None)
        if name is None:
            return

        def broken(number: int, sent: Arrays, round_index: int) -> Arrays:
            moved = _scattered(number, sent, round_index)
            if number == 0:
                moved[name].flat[0] = np.nan
            return moved

        try:
            found = _Federation(algorithm, config, broken).run(1)[0].arrays
        except UserError:
            return
        if np.isfinite(found[name]).all():
            (without,) = _Federation(algorithm, config, _scattered, left_out=0).run(1)
            _check_same(found, without.arrays, "results with a reply that has a NaN, and without that client")

    def test_a_client_begins_with_what_the_server_sent(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """Before it has kept anything; so it does where only a step is timed, and no message is there."""
        learner = _learner(config)
        before = _all_arrays(learner)
        hooks = algorithm.client(config).begin(learner, {}, {})
        _check_same(_all_arrays(learner), before, "networks before and after begin()", rounding=0.0)
        assert all(hasattr(hook, "loss") and hasattr(hook, "gradient") for hook in hooks), (
            "begin() must return hooks: subclasses of fedray.learning.Hook"
        )

    def test_what_travels_and_what_stays_are_copies_with_the_networks_names(
        self, algorithm: Algorithm, config: ExperimentConfig
    ) -> None:
        """All shared arrays, of their shape and dtype; finite even of a pass without a step."""
        learner, start = _learner(config), _start(config)
        for steps in (0, 2):
            half = algorithm.client(config)
            _train(config, learner, half.begin(learner, {}, {}), steps)
            sent, kept = half.end(learner, dict.fromkeys(learner.networks(), steps)), half.keep()
            networks, _ = separated(sent)
            assert networks.keys() == start.keys(), (
                f"end() must return all shared arrays, and others under EXTRA ({EXTRA!r}); missing: "
                f"{sorted(start.keys() - networks)[:3]}, too many: {sorted(networks.keys() - start)[:3]}"
            )
            for name, value in networks.items():
                told = (value.shape, value.dtype)
                assert told == (start[name].shape, start[name].dtype), f"{name} travels with another shape or dtype"
            for what, arrays in (("end()", sent), ("keep()", kept)):
                broken = [name for name, value in arrays.items() if not np.isfinite(value).all()]
                assert not broken, f"{what} after {steps} steps has {broken[:3]}, which is not finite"
            before = [copy.deepcopy(arrays) for arrays in (sent, kept)]
            _train(config, learner, (), 1)
            _check_same(sent, before[0], "what end() returned, after more training (return copies)", rounding=0.0)
            _check_same(kept, before[1], "what keep() returned, after more training (return copies)", rounding=0.0)
            learner.load(start)

    def test_a_pass_leaves_nothing_behind_in_the_networks(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """The next client of the process is given the same ones: its arrays are replaced, nothing else is."""
        learner, untouched = _learner(config), _learner(config)
        start = _all_arrays(learner)
        before = _marks(learner)
        kept: Arrays = {}
        for _ in range(2):
            half = algorithm.client(config)
            _train(config, learner, half.begin(learner, {}, kept), 2)
            half.end(learner, dict.fromkeys(learner.networks(), 2))
            kept = half.keep()
        assert _marks(learner) == before, (
            "hooks of PyTorch, frozen parameters or new layers are left in the networks: take them back in end()"
        )
        learner.load(start)
        for either in (learner, untouched):
            _train(config, either, (), 2)
        _check_same(_all_arrays(learner), _all_arrays(untouched), "a plain pass after it, and one of new networks")

    def test_what_a_client_keeps_is_all_that_it_remembers(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """Between rounds it travels through records, to another process or a checkpoint."""
        found = []
        for through_records in (False, True):
            learner, kept = _learner(config), Arrays()
            for round_index in (1, 2):
                half = algorithm.client(config)
                _train(config, learner, half.begin(learner, {}, kept), 2, seed=round_index)
                sent = half.end(learner, dict.fromkeys(learner.networks(), 2))
                kept = half.keep()
                kept = from_record(to_record(kept)) if through_records else kept
            found.append(sent)
        _check_same(found[1], found[0], "second rounds of a client, with what it kept in memory and through records")

    def test_a_federation_of_both_halves_trains(self, algorithm: Algorithm, config: ExperimentConfig) -> None:
        """Two real rounds: weights move, all stays finite, and variances of BatchNorm stay variances."""
        federation, start = _Federation(algorithm, config, None), _start(config)
        found = federation.run(2)[-1].arrays | federation.own[0]
        broken = [name for name, value in found.items() if not np.isfinite(value).all()]
        assert not broken, f"after two rounds {broken[:3]} is not finite"
        still = [part for part in shared_parts(config) if not _moved(part, found, start)]
        assert not still, f"after two rounds no array of {still} has moved"
        negative = [name for name, value in found.items() if name.endswith("running_var") and (_float(value) < 0).any()]
        assert not negative, f"{negative[:3]} is negative: optimisers must not step on statistics, which get the mean"

    def test_what_is_a_clients_own_makes_the_strategy_a_personal_one(
        self, algorithm: Algorithm, config: ExperimentConfig
    ) -> None:
        """Its line in the registry says so; it is of the shared arrays, and differs from client to client."""
        own = list(algorithm.client(config).own(_learner(config)))
        assert set(own) <= set(_start(config)), f"own() must name shared arrays, but names {own[:3]}"
        assert bool(own) == config.federation.personal, (
            f"own() names {len(own)} arrays, so `personal` must be {bool(own)} in the strategy's line of STRATEGIES"
        )
        federation = _Federation(algorithm, config, None)
        federation.run(1)
        first, second = federation.own[0], federation.own[1]
        assert first.keys() == second.keys() == set(own)
        alike = all(np.array_equal(first[name], second[name]) for name in own)
        assert not own or not alike, "after a round of training own() must not be the same at two clients"


class _Federation:
    """Rounds of a strategy with clients that go where a test wants them, or train."""

    def __init__(
        self,
        algorithm: Algorithm,
        config: ExperimentConfig,
        move: Move | None,
        *,
        weights: Sequence[float] | None = None,
        order: int = 1,
        left_out: int | None = None,
        fresh_every_round: bool = False,
    ) -> None:
        self._algorithm, self._config, self._move = algorithm, config, move
        self._weights = weights or [1.0] * config.num_clients
        self._order, self._left_out, self._fresh_every_round = order, left_out, fresh_every_round
        self._learner, self._kept = _learner(config), dict[int, Arrays]()
        self.own = dict[int, Arrays]()
        self._round_index, self._sent = 0, list[Arrays]()
        app = ClientApp()
        app.train()(self._answer)
        app.query("ask")(self._ask)
        self._grid = LocalGrid(app, config.num_clients)

    def run(self, num_rounds: int) -> list[Round]:
        """Run rounds."""
        strategy, moments, start, rounds = self._strategy(), Arrays(), _start(self._config), list[Round]()
        record = to_record(start)
        for round_index in range(1, num_rounds + 1):
            self._round_index, self._sent = round_index, []
            strategy = self._strategy() if self._fresh_every_round else strategy
            if isinstance(strategy, KeepsState):
                strategy.load(from_record(to_record(moments)))
            asked = strategy.configure_train(round_index, record, ConfigRecord(), self._grid)
            messages = sorted(asked, key=lambda message: message.metadata.dst_node_id)
            if self._left_out is not None:
                del messages[self._left_out]
            replies = list(self._grid.send_and_receive(messages))[:: self._order]
            failed = [reply.error.reason for reply in replies if reply.has_error()]
            assert not failed, f"a client failed: {failed[0]}"
            arrays, metrics = strategy.aggregate_train(round_index, replies)
            assert arrays is not None and metrics is not None, "a round with replies must aggregate to something"
            moments = strategy.arrays() if isinstance(strategy, KeepsState) else moments
            rounds.append(Round(self._sent, from_record(arrays), dict(metrics)))
            after = {name: _typed(value, start.get(name)) for name, value in rounds[-1].arrays.items()}
            record = to_record({**{name: start[name] for name in self._own_names()}, **after})
        return rounds

    def _strategy(self) -> Strategy:
        return self._algorithm.server(self._config, lambda: _learner(self._config))

    def _own_names(self) -> Sequence[str]:
        return self._algorithm.client(self._config).own(self._learner)

    def _ask(self, message: Message, context: Context) -> Message:
        self._learner.load(from_record(message.content.array_records[ARRAYS]))
        answer = self._algorithm.client(self._config).answer(self._learner, noise_tiles())
        return Message(RecordDict({ARRAYS: to_record(answer)}), reply_to=message)

    def _answer(self, message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        sent, told = separated(from_record(message.content.array_records[ARRAYS]))
        self._sent.append(sent)
        self._learner.load({**sent, **self.own.get(number, {})})
        half = self._algorithm.client(self._config)
        hooks = half.begin(self._learner, told, self._kept.get(number, {}))
        report = PassReport(
            9, {f"{name}/loss": 1.0 for name in self._learner.networks()}, dict.fromkeys(self._learner.networks(), 2)
        )
        if self._move is None:
            report = _train(self._config, self._learner, hooks, 1, seed=number, before=self._round_index - 1)
        else:
            self._learner.load(self._move(number, sent, self._round_index))
        arrays, self.own[number] = parted(half.end(self._learner, report.steps), half.own(self._learner))
        self._kept[number] = half.keep()
        metrics = MetricRecord({WEIGHT: self._weights[number], **report_metrics(report)})
        return Message(RecordDict({ARRAYS: to_record(arrays), METRICS: metrics}), reply_to=message)


def _scattered(number: int, sent: Arrays, round_index: int) -> Arrays:
    """Go a client's own way from what it was sent: statistics stay positive, counters count."""
    random = np.random.default_rng([number, round_index])
    moved = {}
    for name, value in sent.items():
        if value.dtype.kind in "iu":
            moved[name] = np.asarray(_float(value) + 2).astype(value.dtype)
        else:
            moved[name] = np.asarray(_float(value) + 0.05 + 0.1 * random.random(value.shape)).astype(value.dtype)
    return moved


def _plain(algorithm: Algorithm, config: ExperimentConfig) -> list[Round]:
    """Two rounds of clients that go their own ways; what several tests compare with."""
    return _plain_of(_Halves(algorithm.server, algorithm.client), config)


class _Halves(NamedTuple):
    """A strategy as it is now: a module that is edited and loaded again stays the same module, its halves do not."""

    server: Any
    client: Any


@functools.lru_cache(maxsize=1)
def _plain_of(halves: _Halves, config: ExperimentConfig) -> list[Round]:
    return _Federation(cast(Algorithm, halves), config, _scattered).run(2)


def _alike(number: int, sent: Arrays, round_index: int) -> Arrays:
    return _scattered(0, sent, round_index)


def _agreed(algorithm: Algorithm, config: ExperimentConfig) -> Arrays:
    return _agreed_of(_Halves(algorithm.server, algorithm.client), config)


@functools.lru_cache(maxsize=1)
def _agreed_of(halves: _Halves, config: ExperimentConfig) -> Arrays:
    return _Federation(cast(Algorithm, halves), config, _alike).run(1)[0].arrays


def _learner(config: ExperimentConfig) -> Learner:
    learner: Learner = task_of(config).make(config, SHAPE, "cpu")
    return learner


@functools.lru_cache(maxsize=1)
def _reference(config: ExperimentConfig) -> tuple[Arrays, list[str]]:
    """Return where the server starts, and what optimisers train of it."""
    learner, parts = _learner(config), shared_parts(config)
    return learner.arrays(parts), learner.trained(parts)


def _start(config: ExperimentConfig) -> Arrays:
    return _reference(config)[0]


def _travelling(algorithm: Algorithm, config: ExperimentConfig) -> Arrays:
    """Return where the server starts, without what is the clients' own."""
    return parted(_start(config), algorithm.client(config).own(_learner(config)))[0]


def _trained(config: ExperimentConfig) -> list[str]:
    return _reference(config)[1]


def _train(
    config: ExperimentConfig, learner: Learner, hooks: Sequence[Any], steps: int, seed: int = 0, before: int = 0
) -> PassReport:
    task = task_of(config)
    return task.train(config, learner, task.optimizers(learner), noise_tiles(), Pass(steps, before, seed, hooks))


def _all_arrays(learner: Learner) -> Arrays:
    return learner.arrays(list(learner.parts()))


def _marks(learner: Learner) -> list[tuple[str, Any]]:
    """Say what is in networks beside their arrays: layers, hooks, what is trained."""
    marks: list[tuple[str, Any]] = []
    for part, network in learner.parts().items():
        for name, module in network.named_modules():
            hooks = [len(value) for key, value in vars(module).items() if key.endswith("_hooks")]
            marks.append((f"{part}.{name}", (type(module), sum(hooks))))
        marks += [(f"{part}.{name}", value.requires_grad) for name, value in network.named_parameters()]
    return marks


def _moved(part: str, found: Arrays, start: Arrays) -> bool:
    return any(not np.array_equal(found[name], start[name]) for name in start if name.startswith(f"{part}."))


def _typed(value: NDArray[Any], like: NDArray[Any] | None) -> NDArray[Any]:
    """Give an averaged array its dtype back, as the round does: Flower's mean of counters is float64."""
    if like is None:
        return value
    with np.errstate(invalid="ignore"):
        return (np.rint(value) if like.dtype.kind in "iu" else value).astype(like.dtype)


def _float(value: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(value, np.float64)


def _way(start: NDArray[Any], end: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(_float(end) - _float(start))


def _apart(found: Arrays, expected: Arrays) -> float:
    return max((float(np.abs(_way(found[name], expected[name])).max(initial=0.0)) for name in expected), default=0.0)


def _check_same(found: Arrays, expected: Arrays, what: str, rounding: float = ROUNDING) -> None:
    assert found.keys() == expected.keys(), f"{what}: their names differ: {sorted(found.keys() ^ expected.keys())[:3]}"
    for name, value in expected.items():
        apart = float(np.abs(_way(found[name], value)).max(initial=0.0))
        assert apart <= rounding, f"{what}: must be the same, but {name} is {apart:.3g} apart"
