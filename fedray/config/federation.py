"""The sections ``federation`` and ``privacy``: who trains, how long, what is shared, and what may be learned of it."""

from typing import Literal

from pydantic import Field

from fedray.config.modes import ModeName, described_modes
from fedray.config.section import NonNegative, Positive, Section
from fedray.config.strategies import STRATEGIES, StrategyName, described_strategies


class FederationConfig(Section):
    """Who trains, how long, and what is shared."""

    mode: ModeName = Field("federated", description=described_modes())
    num_clients: int = Field(4, ge=1, le=1_000_000)
    """Clients (hospitals) the training tiles are spread over, >= 1."""
    num_rounds: int = Field(10, ge=1)
    """Federated rounds, >= 1."""
    client_fraction: float = Field(1.0, gt=0.0, le=1.0)
    """Share of the clients drawn for a round, in (0, 1]; at least one client is drawn."""
    local_epochs: int = Field(5, ge=1)
    """Passes over a client's tiles per round, >= 1, counted in discriminator steps; unused if local_steps is set. Five,
    as in McMahan et al. (2017): averaging and evaluation cost little beside them."""
    local_steps: int | None = Field(None, ge=1)
    """Discriminator steps per client and round, >= 1; unset: local_epochs decides."""
    aggregate: Literal["both", "generator", "discriminator"] = "both"
    """Which network the server averages; the other one stays with its client."""
    swap_every: int = Field(1, ge=0)
    """Rounds after which 'md-gan' passes the discriminators on to other clients; 0: never."""
    strategy: StrategyName = Field("fedavg", description=described_strategies())
    weighting: Literal["size", "uniform", "label-balance"] = "size"
    """What a client weighs in a mean: its tiles; 1; or its tiles times the effective number of its labels, the
    exponential of their entropy."""
    server_lr: Positive | None = None
    """Learning rate of the server, > 0; unset: 1 for 'fedavgm' and 'scaffold', 0.1 for 'fedadam', 'fedyogi',
    'fedadagrad'."""
    server_momentum: float = Field(0.9, ge=0.0, lt=1.0)
    """Momentum of 'fedavgm', beta1 of 'fedadam' and 'fedyogi', in [0, 1)."""
    proximal_mu: NonNegative = 0.01
    """Weight mu of the proximal term, >= 0. For 'fedprox'."""
    trimmed_share: float = Field(0.2, ge=0.0, lt=0.5)
    """Share of the clients left out at either end of every weight, in [0, 0.5), and 1 client at least. For
    'trimmed-mean'."""
    num_malicious: int = Field(0, ge=0)
    """Clients that may be malicious, >= 0; a round needs 2 x that + 3 clients. For 'krum'."""
    keep_optimizer: bool = True
    """Keep the Adam moments on the client from round to round; off: every round starts with fresh ones."""
    merge_replies: bool = False
    """Average replies on the workers before they travel: less memory and traffic with many clients or large networks;
    two runs then agree to float rounding, instead of digit for digit."""
    max_failed_share: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of a round's clients that may fail before the run does, in [0, 1)."""
    round_timeout_s: Positive = 3600.0
    """Longest a round may wait for its clients, in seconds, > 0."""
    checkpoint_every: int = Field(1, ge=1)
    """Rounds between two checkpoints, >= 1."""

    @property
    def personal(self) -> bool:
        """Whether every client ends with a network of its own."""
        return STRATEGIES[self.strategy].personal


class PrivacyConfig(Section):
    """Differential privacy of clients: their updates are clipped, and noise is added to the mean (McMahan et al. 2018).

    What is guaranteed is logged as privacy/epsilon at the given delta, over all that the experiment has released;
    clients are whole hospitals, not patients.
    """

    noise_multiplier: NonNegative = 0.0
    """Standard deviation of the noise on the sum of updates, in clipping norms, >= 0; 0: no differential privacy."""
    clipping_norm: Positive = 1.0
    """Longest update of a client over all arrays together, > 0: a longer one is scaled down."""
    delta: float = Field(1e-5, gt=0.0, lt=1.0)
    """Probability with which the guarantee may fail, in (0, 1); well below 1 / clients."""

    @property
    def on(self) -> bool:
        """Whether there is noise."""
        return self.noise_multiplier > 0
