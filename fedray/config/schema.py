"""The configuration of one experiment: what is trained, on whose data, how it is judged, on which resources.

Every field says what it means, its unit and its range; the job command lines, their ``--help`` and the search-space
keys are made of these models. Frozen, and an unknown key is an error.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class _Section(BaseModel):
    """Base of all sections: immutable, closed to unknown keys, defaults validated like input."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


class DataConfig(_Section):
    """Which tiles are used."""

    store: str = "colon"
    """Path of a tile store made by jobs/prepare_data.py, or 'colon' for the embedded section of human colon."""
    tile_size: int = Field(32, ge=16, le=256, multiple_of=8)
    """Tile edge in pixels for 'colon', 16 to 256, a multiple of 8; another store brings its own size."""
    num_domains: int = Field(1, ge=1, le=4)
    """Scanner domains rendered into 'colon' by deterministic stain and blur shifts, 1 to 4; 1 leaves it as it is."""


class PartitionConfig(_Section):
    """How the training tiles are spread over the clients."""

    scheme: Literal["iid", "majority-label", "dirichlet", "domain"] = "iid"
    """'iid'; 'majority-label': balanced overall, each client has one over-represented label (S2);
    'dirichlet': label shares drawn per client (Hsu et al. 2019); 'domain': one or more clients per scanner domain."""
    majority_share: float = Field(0.8, gt=0.0, le=1.0)
    """Share of a client's tiles that carry its majority label, in (0, 1]; S2 uses 0.6 to 0.9. For 'majority-label'."""
    alpha: Positive = 0.5
    """Concentration of the Dirichlet distribution, > 0; small is more skewed. For 'dirichlet'."""


class GanConfig(_Section):
    """The networks, the objective and one local training step."""

    objective: Literal["wgan-gp"] = "wgan-gp"
    """The adversarial objective; 'wgan-gp' is Wasserstein with gradient penalty (Gulrajani et al. 2017)."""
    generator: Literal["custom-cnn"] = "custom-cnn"
    """The generator; 'custom-cnn' is S2's, conditioned by embeddings that multiply the channels."""
    discriminator: Literal["cnn"] = "cnn"
    """The discriminator (critic); 'cnn' is S2's custom CNN with GroupNorm in place of BatchNorm."""
    latent_dim: int = Field(64, ge=1, le=4096)
    """Length of the noise vector, 1 to 4096."""
    generator_channels: int = Field(32, ge=4, le=2048, multiple_of=4)
    """Channels of the generator's last hidden layer, 4 to 2048, a multiple of 4; earlier layers have 2x and 4x."""
    discriminator_channels: int = Field(32, ge=8, le=2048, multiple_of=8)
    """Channels of the discriminator's first layer, 8 to 2048, a multiple of 8; later layers have 2x and 4x."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Dropout probability in the generator, in [0, 1)."""
    batch_size: int = Field(32, ge=2, le=65536)
    """Tiles per optimiser step on a client, >= 2; a client with fewer tiles uses all it has."""
    n_critic: int = Field(5, ge=1, le=100)
    """Discriminator steps per generator step, 1 to 100."""
    gradient_penalty: NonNegative = 10.0
    """Weight lambda of the gradient penalty, >= 0."""
    generator_lr: Positive = 1e-4
    """Adam learning rate of the generator, > 0."""
    discriminator_lr: Positive = 1e-4
    """Adam learning rate of the discriminator, > 0."""
    beta1: float = Field(0.0, ge=0.0, lt=1.0)
    """Adam beta1 of both optimisers, in [0, 1)."""
    beta2: float = Field(0.9, ge=0.0, lt=1.0)
    """Adam beta2 of both optimisers, in [0, 1)."""
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0)
    """Decay per generator step of the moving average that is evaluated, in [0, 1); it warms up over the first steps."""
    augment: bool = True
    """Draw a random flip and quarter turn of every training tile (label-safe in histology)."""


class FederationConfig(_Section):
    """Who trains, how long, and what is shared."""

    mode: Literal["federated", "centralised"] = "federated"
    """'federated', or 'centralised': one client holds all training tiles, as the baseline to compare with."""
    num_clients: int = Field(4, ge=1, le=1_000_000)
    """Clients (hospitals) the training tiles are spread over, >= 1."""
    num_rounds: int = Field(10, ge=1)
    """Federated rounds, >= 1."""
    client_fraction: float = Field(1.0, gt=0.0, le=1.0)
    """Share of the clients drawn for a round, in (0, 1]; at least one client is drawn."""
    local_epochs: int = Field(1, ge=1)
    """Passes over a client's tiles per round, >= 1, counted in discriminator steps; unused if local_steps is set."""
    local_steps: int | None = Field(None, ge=1)
    """Discriminator steps per client and round, >= 1; unset: local_epochs decides."""
    aggregate: Literal["both", "generator", "discriminator"] = "both"
    """Which network the server averages; the other one stays with its client."""
    strategy: Literal["fedavg"] = "fedavg"
    """The server's aggregation rule; 'fedavg' averages weighted by client size (McMahan et al. 2017)."""
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


class EvaluationConfig(_Section):
    """How the generator is judged."""

    extractor: Literal["domain-cnn", "inception-v3-compat"] = "domain-cnn"
    """Features for FID and KID: 'domain-cnn' is trained once on the store's real training tiles; 'inception-v3-compat'
    is the one of the literature and needs its weights."""
    extractor_weights: str | None = None
    """Path of the extractor's weight file; unset: torch-fidelity's own download. For 'inception-v3-compat'."""
    num_samples: int = Field(256, ge=16)
    """Generated and real tiles compared, >= 16; scores compare only at equal numbers, which their names carry."""
    split: Literal["train", "test"] = "test"
    """The real tiles that generated ones are compared with."""
    every: int = Field(1, ge=1)
    """Rounds between two evaluations, >= 1; the last round is always evaluated."""


class ResourcesConfig(_Section):
    """What one experiment takes of the cluster."""

    num_workers: int | None = Field(None, ge=1)
    """Worker processes that run the clients, >= 1; unset: planned from the cluster's size."""
    cpus_per_worker: float = Field(1.0, gt=0.0)
    """CPU cores per worker, > 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where clients train; 'auto' takes GPUs where the cluster has any."""
    workers_per_gpu: int = Field(2, ge=1)
    """Workers that share one GPU, >= 1."""
    start_timeout_s: Positive = 300.0
    """Longest to wait for the first worker to start, in seconds, > 0."""


class TrackingConfig(_Section):
    """How the run appears in MLflow."""

    experiment: str = Field("fedray", min_length=1)
    """Name of the MLflow experiment."""
    run_name: str | None = None
    """Name of the run; unset: objective, data set and seed."""


class ExperimentConfig(_Section):
    """One federated (or centralised) generative experiment."""

    seed: int = Field(0, ge=0)
    """Seed of every random stream, >= 0."""
    data: DataConfig = DataConfig()
    partition: PartitionConfig = PartitionConfig()
    gan: GanConfig = GanConfig()
    federation: FederationConfig = FederationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _centralised_shares_everything(self) -> Self:
        if self.federation.mode == "centralised" and self.federation.aggregate != "both":
            raise ValueError(
                "federation.aggregate must be 'both' in centralised mode (one client has nothing to keep private), "
                f"but got {self.federation.aggregate!r}"
            )
        return self

    @property
    def num_clients(self) -> int:
        """Clients that really exist: ``federation.num_clients``, or 1 in centralised mode."""
        return 1 if self.federation.mode == "centralised" else self.federation.num_clients
