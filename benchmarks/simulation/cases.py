"""The cases: what runs, how long, and what FedRay is to reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from benchmarks.simulation.results import STOCK
from benchmarks.simulation.targets import (
    CloseToCompute,
    CopiesOfModel,
    FasterThanStock,
    MemoryGrowth,
    Target,
    WithinSeconds,
)

NUM_WORKERS = 2
OBJECT_STORE_BYTES = 4 * 10**9


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        app: The module in ``benchmarks.simulation.apps`` with the clients.
        num_clients: How many clients there are.
        clients_per_round: How many take part in a round.
        num_rounds: How many rounds; the first is not counted.
        targets: What FedRay is to reach.
        trials: 2 to run the app twice, one after the other, and to measure how soon each has its first round.
        counts_visits: Check that every client's function ran as often as the rounds ask for.
        stock_rounds: How many rounds on Flower's engine, where that is not num_rounds.
        stock_repeats: How often at most on Flower's engine.
        stock_timeout_s: How long that may take; it is left out if it takes longer.
        memory_interval_s: Seconds between two samples of the driver's memory; rare where memory is not the target.
    """

    app: str
    num_clients: int
    clients_per_round: int
    num_rounds: int
    targets: tuple[Target, ...]
    trials: int = 1
    counts_visits: bool = False
    stock_rounds: int | None = None
    stock_repeats: int | None = None
    stock_timeout_s: float = 900.0
    memory_interval_s: float = 0.1

    def load_app(self) -> ModuleType:
        """Import the clients' module."""
        return import_module(f"benchmarks.simulation.apps.{self.app}")

    def rounds_on(self, engine: str) -> int:
        """Return how many rounds an engine runs."""
        return self.stock_rounds if engine == STOCK and self.stock_rounds is not None else self.num_rounds

    @property
    def compared_round(self) -> int:
        """The last round that all engines run."""
        return min(self.num_rounds, self.rounds_on(STOCK))

    def repeats_on(self, engine: str, repeats: int) -> int:
        """Return how often an engine runs where each is to run ``repeats`` times."""
        return min(repeats, self.stock_repeats) if engine == STOCK and self.stock_repeats is not None else repeats


CASES: Mapping[str, Case] = {
    # Ten seconds on either engine: in its first ones Ray starts processes beside the workers.
    "tiny-100": Case("tiny", 100, 100, num_rounds=1001, stock_rounds=31, targets=(FasterThanStock(30),)),
    "tiny-1000": Case("tiny", 1000, 1000, num_rounds=201, stock_rounds=5, targets=(FasterThanStock(100),)),
    "large-20": Case(
        "large", 20, 20, num_rounds=4, targets=(FasterThanStock(8), CopiesOfModel(4, 100)), memory_interval_s=0.005
    ),
    "torch-100": Case("state_dict", 100, 100, num_rounds=1001, stock_rounds=31, targets=(FasterThanStock(35),)),
    "torch-1000": Case("state_dict", 1000, 1000, num_rounds=201, stock_rounds=5, targets=(FasterThanStock(120),)),
    "torch-large-20": Case("large_state_dict", 20, 20, num_rounds=4, targets=(FasterThanStock(8),)),
    "cnn-100": Case("cnn", 100, 100, num_rounds=4, targets=(CloseToCompute(1.10),)),
    "state-10000": Case(
        "stateful",
        10_000,
        1000,
        num_rounds=3,
        targets=(MemoryGrowth(100),),
        counts_visits=True,
        stock_rounds=2,
        stock_repeats=1,
        stock_timeout_s=120.0,
        memory_interval_s=0.005,
    ),
    "second-trial": Case("torch_tiny", 10, 10, num_rounds=1, targets=(WithinSeconds(1.5),), trials=2),
}
