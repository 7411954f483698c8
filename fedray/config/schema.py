"""The configuration of one experiment: what is trained, on whose data, how it is judged, on which resources.

Every field says what it means, its unit and its range; the job command lines, their ``--help`` and the search-space
keys are made of these models. Frozen, and an unknown key is an error.
"""

import math
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class _Section(BaseModel):
    """Base of all sections: immutable, closed to unknown keys, defaults validated like input."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


class DataConfig(_Section):
    """Which tiles are used."""

    store: str = "colon"
    """Path of a tile store made by jobs/prepare_data.py, its s3:// or gs:// address on shared storage (fetched once a
    node), or 'colon' for the embedded section of human colon."""
    tile_size: int | None = Field(None, ge=1)
    """Tile edge in pixels. For 'colon': 16 to 256, a multiple of 8; unset: 32. Another store brings its own size: leave
    it unset."""
    num_domains: int | None = Field(None, ge=1)
    """Scanner domains. For 'colon': rendered into it by deterministic stain and blur shifts, 1 to 4; 1 leaves it as it
    is; unset: 1. Another store brings its own: leave it unset."""

    @model_validator(mode="after")
    def _colon_within_its_limits(self) -> Self:
        if self.store != "colon":
            return self
        if self.tile_size is not None and not (16 <= self.tile_size <= 256 and self.tile_size % 8 == 0):
            raise ValueError(
                f"data.tile_size must be 16 to 256 and a multiple of 8 for 'colon', but got {self.tile_size}"
            )
        if self.num_domains is not None and self.num_domains > 4:
            raise ValueError(f"data.num_domains must be 1 to 4 for 'colon', but got {self.num_domains}")
        return self


class PartitionConfig(_Section):
    """How the training tiles are spread over the clients."""

    scheme: Literal["iid", "majority-label", "dirichlet", "domain", "client"] = "iid"
    """'iid'; 'majority-label': balanced overall, each client has one over-represented label (arXiv 2504.04130);
    'dirichlet': label shares drawn per client (Hsu et al. 2019); 'domain': one or more clients per scanner domain;
    'client': as the store names the client of each tile (the column client of a CSV file)."""
    keep_groups: bool | None = None
    """Whether no group (patient or slide) is spread over several clients. Unset: true where the store has patients
    with several tiles, false where its groups are regions of one patient, as in 'colon'."""
    majority_share: float = Field(0.8, gt=0.0, le=1.0)
    """Share of a client's tiles that carry its majority label, in (0, 1]; arXiv 2504.04130 uses 0.6 to 0.9. For
    'majority-label'."""
    alpha: Positive = 0.5
    """Concentration of the Dirichlet distribution, > 0; small is more skewed. For 'dirichlet'."""


PROJECTED = "projected"
"""The discriminator of arXiv 2111.01007, as ``gan.discriminator`` names it."""


class GanConfig(_Section):
    """The networks, the objective and one local training step.

    A field that is unset has the value of the objective's source, or of the discriminator's where that is 'projected';
    --dry-run shows it.
    """

    objective: Literal["wgan-gp", "acgan", "acgan-ns", "cgan", "cgan-ns", "cgan-hinge"] = "wgan-gp"
    """The adversarial objective: 'wgan-gp' (Gulrajani et al. 2017); 'acgan' (Odena et al. 2017); 'cgan' (Mirza and
    Osindero 2014); 'cgan-hinge': projection discriminator with hinge loss (Miyato and Koyama 2018); '-ns': the
    non-saturating generator loss in place of the original one."""
    generator: Literal["custom-cnn", "residual"] = "custom-cnn"
    """The generator: 'custom-cnn' is that of arXiv 2504.04130, conditioned on the label by embeddings that multiply the
    channels; 'residual' has residual blocks with GroupNorm, modulated (FiLM) by label and domain."""
    discriminator: str = "cnn"
    """The discriminator (critic): 'cnn' (the custom CNN of arXiv 2504.04130, with GroupNorm), 'projected' (heads on
    features of a frozen ImageNet network, arXiv 2111.01007: they alone are trained and travel), 'resnet18', 'resnet50',
    'vit_b_16', 'swin_t', or any other model name of timm."""
    enlarge_to: int = Field(64, ge=32, le=512, multiple_of=32)
    """Edge in pixels that smaller tiles are enlarged to before the frozen network, 32 to 512, a multiple of 32; the
    time of a step grows with its square. For 'projected'."""
    minibatch_stddev: bool = False
    """Tell the discriminator how far the tiles of each label spread over the batch (Karras et al. 2018), so that it
    sees a generator that repeats itself. Not with a penalty."""
    initialisation: Literal["scratch", "imagenet"] = "scratch"
    """Where the discriminator's weights come from: 'scratch', or 'imagenet' for a timm model."""
    weights: str | None = None
    """File with the ImageNet weights; unset: NAME.safetensors or NAME.pth in the folder of FEDRAY_WEIGHTS, or, where
    that is not set either, timm's own download. For initialisation 'imagenet'."""
    freeze: bool = False
    """Train the discriminator's heads and conditioning alone, not its backbone. For initialisation 'imagenet'."""
    spectral_norm: bool | None = None
    """Divide the discriminator's weights by their spectral norm (Miyato et al. 2018); unset: on for 'cgan-hinge' and
    with 'projected'."""
    latent_dim: int = Field(64, ge=1, le=4096)
    """Length of the noise vector, 1 to 4096."""
    generator_noise: bool = False
    """Let noise reach every layer of the generator: the vector modulates its norms (Brock et al. 2019), and an image of
    noise is added at every convolution (Karras et al. 2019), so that tiles differ in detail too. For 'residual'."""
    generator_channels: int = Field(32, ge=4, le=2048, multiple_of=4)
    """Channels of the generator's last hidden layer, 4 to 2048, a multiple of 4; earlier layers have 2x and 4x."""
    discriminator_channels: int = Field(32, ge=8, le=2048, multiple_of=8)
    """Channels of the first layer of 'cnn', 8 to 2048, a multiple of 8; later layers have 2x and 4x. Of the heads of
    'projected', whose mixed features have 2x."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Dropout probability in the generator, in [0, 1)."""
    batch_size: int = Field(32, ge=2, le=65536)
    """Tiles per optimiser step on a client, >= 2; a client with fewer tiles uses all it has, and a tile that is left
    over alone at the end of an epoch joins the batch before it."""
    n_critic: int | None = Field(None, ge=1, le=100)
    """Discriminator steps per generator step, 1 to 100; unset: 5 for 'wgan-gp' and 'cgan-hinge', else 1, and 1 with
    'projected'."""
    penalty: Literal["gradient", "r1", "none"] | None = None
    """Penalty on the discriminator's gradient by tile: 'gradient' (Gulrajani et al. 2017), 'r1' (Mescheder et al. 2018)
    or 'none'; unset: 'gradient' for 'wgan-gp', else 'none'."""
    gradient_penalty: NonNegative | None = None
    """Weight of the penalty, >= 0: lambda of 'gradient', gamma of 'r1'; unset: 10."""
    generator_lr: Positive | None = None
    """Adam learning rate of the generator, > 0; unset: 1e-4 for 'wgan-gp', else 2e-4."""
    discriminator_lr: Positive | None = None
    """Adam learning rate of the discriminator, > 0; unset: as the generator's."""
    beta1: float | None = Field(None, ge=0.0, lt=1.0)
    """Adam beta1 of both optimisers, in [0, 1); unset: 0 for 'wgan-gp', 'cgan-hinge' and with 'projected', else 0.5."""
    beta2: float | None = Field(None, ge=0.0, lt=1.0)
    """Adam beta2 of both optimisers, in [0, 1); unset: 0.9 for 'wgan-gp' and 'cgan-hinge', 0.99 with 'projected', else
    0.999."""
    clip_norm: Positive | None = None
    """Largest norm of each network's gradient, > 0; a longer one is scaled down. Unset: none is."""
    label_sampling: Literal["data", "balanced"] = "data"
    """Labels that the generator is trained on: as in the client's 'data', or 'balanced' over all labels."""
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0)
    """Decay per generator step of the moving average that is evaluated, in [0, 1); it warms up over the first steps."""
    augment: bool = True
    """Draw a random flip and quarter turn of every training tile (label-safe in histology)."""
    diff_augment: Literal["none", "histology", "translation", "colour-translation-cutout"] = "none"
    """Differentiable augmentation of real and generated tiles alike (Zhao et al. 2020): 'histology' flips and turns;
    'colour-translation-cutout' is the paper's, 'translation' its middle part alone."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the networks' products and convolutions; weights, losses and penalties stay float32."""
    channels_last: bool = True
    """Keep images with their channels innermost: faster convolutions, equal to rounding (benchmarks/README.md)."""
    compile: bool = False
    """Compile the networks with torch.compile: minutes at the start, faster steps on a GPU. Not with a penalty."""
    fused_optimizer: bool = True
    """Use PyTorch's fused Adam: one kernel a step; equal to rounding."""

    @property
    def recipe(self) -> "Recipe":
        """The values in force of the fields that may be unset."""
        base = RECIPES[self.objective]
        if self.discriminator == PROJECTED:
            base = base._replace(**_PROJECTED_VALUES)
        chosen = {name: value for name in Recipe._fields if (value := getattr(self, name)) is not None}
        if "generator_lr" in chosen:
            chosen.setdefault("discriminator_lr", chosen["generator_lr"])
        return base._replace(**chosen)

    def resolved(self) -> Self:
        """Return the same with no field unset that has a recipe."""
        return self.model_copy(update=self.recipe._asdict())

    @model_validator(mode="after")
    def _options_that_go_together(self) -> Self:
        if self.generator_noise and self.generator != "residual":
            raise ValueError(
                f"gan.generator_noise is for gan.generator 'residual', but got {self.generator!r}; take 'residual', or "
                "leave it out"
            )
        imagenet = self.initialisation != "scratch" or self.freeze or self.weights
        if self.discriminator in _OWN_WEIGHTS and imagenet:
            raise ValueError(
                "gan.initialisation, gan.weights and gan.freeze are for timm's models, but gan.discriminator is "
                f"{self.discriminator!r}, {_OWN_WEIGHTS[self.discriminator]}; leave them out"
            )
        if self.initialisation == "scratch" and (self.freeze or self.weights):
            raise ValueError(
                "gan.freeze and gan.weights need gan.initialisation 'imagenet', but got 'scratch': a network that "
                "starts from random weights must learn them"
            )
        if self.compile and self.recipe.penalty != "none":
            raise ValueError(
                f"gan.compile must be off with gan.penalty {self.recipe.penalty!r}, but got true: torch.compile cannot "
                "differentiate a gradient"
            )
        if self.minibatch_stddev and self.recipe.penalty != "none":
            raise ValueError(
                f"gan.minibatch_stddev must be off with gan.penalty {self.recipe.penalty!r}, but got true: the penalty "
                "is by tile, and a spread over the batch couples its tiles"
            )
        return self

    @model_validator(mode="after")
    def _what_heads_on_frozen_features_can_judge(self) -> Self:
        if self.discriminator != PROJECTED:
            return self
        if self.objective in _MULTIPLYING:
            able = " or ".join(repr(name) for name in RECIPES if name not in _MULTIPLYING)
            raise ValueError(
                f"gan.discriminator 'projected' needs gan.objective {able}, but got {self.objective!r}, which "
                "multiplies tiles by learned images: a network of photographs has seen nothing like that"
            )
        if self.recipe.penalty != "none":
            raise ValueError(
                f"gan.penalty must be 'none' with gan.discriminator 'projected', but got {self.recipe.penalty!r}: the "
                "spectral norm of its heads bounds it, and a gradient of a gradient through the frozen network costs "
                "more than all the rest"
            )
        return self


class Recipe(NamedTuple):
    """What an objective's source trains with."""

    n_critic: int
    penalty: Literal["gradient", "r1", "none"]
    gradient_penalty: float
    generator_lr: float
    discriminator_lr: float
    beta1: float
    beta2: float
    spectral_norm: bool


_BCE_RECIPE = Recipe(1, "none", 10.0, 2e-4, 2e-4, 0.5, 0.999, spectral_norm=False)  # Odena et al., Radford et al.

RECIPES: dict[str, Recipe] = {
    "wgan-gp": Recipe(5, "gradient", 10.0, 1e-4, 1e-4, 0.0, 0.9, spectral_norm=False),
    "acgan": _BCE_RECIPE,
    "acgan-ns": _BCE_RECIPE,
    "cgan": _BCE_RECIPE,
    "cgan-ns": _BCE_RECIPE,
    "cgan-hinge": Recipe(5, "none", 10.0, 2e-4, 2e-4, 0.0, 0.9, spectral_norm=True),
}
"""By objective: the values of its paper. CGAN's own trains a multi-layer perceptron with plain SGD; it gets ACGAN's."""

_PROJECTED_VALUES: dict[str, Any] = {"n_critic": 1, "beta1": 0.0, "beta2": 0.99, "spectral_norm": True}
"""What Sauer et al. 2021 train with, where an objective's paper has other values."""
_MULTIPLYING = ("wgan-gp", "cgan", "cgan-ns")
"""Objectives whose discriminator is told the label by a learned image that multiplies the tile."""
_OWN_WEIGHTS = {"cnn": "which has no ImageNet weights", PROJECTED: "whose frozen network brings its own"}
"""Discriminators that are no model of timm by name, and where their weights come from."""


class FederationConfig(_Section):
    """Who trains, how long, and what is shared."""

    mode: Literal["federated", "centralised", "md-gan"] = "federated"
    """'federated': clients train both networks, the server averages; 'centralised': the baseline, one data-parallel
    training on all tiles; 'md-gan': one generator on the server, discriminators that stay with the clients and swap
    (Hardy et al. 2019)."""
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
    swap_every: int = Field(1, ge=0)
    """Rounds after which 'md-gan' passes the discriminators on to other clients; 0: never."""
    strategy: Literal[
        "fedavg", "fedavgm", "fedprox", "fedadam", "fedyogi", "fedadagrad", "fedmedian", "trimmed-mean", "krum"
    ] = "fedavg"
    """The server's aggregation rule: the mean (McMahan et al. 2017), with momentum (Hsu et al. 2019), with a proximal
    term on the clients (Li et al. 2020), as the gradient of a server optimiser (Reddi et al. 2021); the median or the
    trimmed mean (Yin et al. 2018); Krum (Blanchard et al. 2017)."""
    weighting: Literal["size", "uniform", "label-balance"] = "size"
    """What a client weighs in a mean: its tiles; 1; or its tiles times the effective number of its labels, the
    exponential of their entropy."""
    server_lr: Positive | None = None
    """Learning rate of the server optimiser, > 0; unset: 1 for 'fedavgm', 0.1 for 'fedadam', 'fedyogi', 'fedadagrad'.
    """
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


class PrivacyConfig(_Section):
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


class EvaluationConfig(_Section):
    """How the generator is judged."""

    extractor: Literal["efficientnet-lite0", "domain-cnn", "inception-v3-compat"] | None = None
    """Features for FID and KID: 'efficientnet-lite0' is a frozen ImageNet network, installed with FedRay; 'domain-cnn'
    is trained once on the store's real training tiles; 'inception-v3-compat' is the one of the literature and needs its
    weights. Unset: 'efficientnet-lite0', or 'domain-cnn' for the discriminator 'projected', which
    trains against the former's."""
    extractor_weights: str | None = None
    """Path of the extractor's weight file; unset: torch-fidelity's own download. For 'inception-v3-compat'."""
    num_samples: int | None = Field(None, ge=16)
    """Generated and real tiles compared, >= 16 and no more than the split has; scores compare only at equal numbers,
    which their names carry. Unset: 256, or all tiles of a smaller split; fewer where other real tiles, of the other
    split or unused, would not be enough of each label for floor and self-test."""
    split: Literal["train", "test"] = "test"
    """The real tiles that generated ones are compared with."""
    every: int = Field(1, ge=1)
    """Rounds between two evaluations, >= 1; the last round is always evaluated."""

    @property
    def chosen_extractor(self) -> str:
        """The extractor, with the default where it is unset."""
        return self.extractor or "efficientnet-lite0"


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

    experiment: str = Field("fedray", min_length=1, max_length=500)
    """Name of the MLflow experiment, 1 to 500 characters."""
    run_name: str | None = None
    """Name of the run; unset: objective, data set, what differs from the defaults, and seed."""


class ExperimentConfig(_Section):
    """One federated (or centralised) generative experiment."""

    seed: int = Field(0, ge=0)
    """Seed of every random stream, >= 0."""
    data: DataConfig = DataConfig()
    partition: PartitionConfig = PartitionConfig()
    gan: GanConfig = GanConfig()
    federation: FederationConfig = FederationConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _sections_that_go_together(self) -> Self:
        problems = [*self._mode_problems(), *self._robustness_problems()]
        problems += self._privacy_problems() if self.privacy.on else []
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _mode_problems(self) -> list[str]:
        federation, problems = self.federation, []
        if federation.mode != "federated" and federation.aggregate != "both":
            problems.append(
                f"federation.aggregate must be 'both' in mode {federation.mode!r} (there is no choice of what to "
                f"share), but got {federation.aggregate!r}"
            )
        if federation.mode != "federated" and federation.strategy != "fedavg":
            problems.append(
                f"federation.strategy must be 'fedavg' in mode {federation.mode!r} (no weights of clients are "
                f"aggregated), but got {federation.strategy!r}"
            )
        if federation.mode == "md-gan" and federation.client_fraction < 1:
            problems.append(
                "federation.client_fraction must be 1 in mode 'md-gan' (a discriminator that is left out falls "
                f"behind), but got {federation.client_fraction:g}"
            )
        if federation.mode == "md-gan" and federation.max_failed_share > 0:
            problems.append(
                "federation.max_failed_share must be 0 in mode 'md-gan' (every discriminator judges every step), but "
                f"got {federation.max_failed_share:g}"
            )
        return problems

    def _robustness_problems(self) -> list[str]:
        """Refuse a robust strategy that protects from nobody with so few clients."""
        federation = self.federation
        num_asked = max(1, round(federation.client_fraction * self.num_clients))
        num_sure = num_asked - int(federation.max_failed_share * num_asked)
        clients = f"{num_sure} clients are sure to answer in a round"
        if federation.strategy == "fedmedian" and num_sure < 3:
            return [
                "federation.strategy 'fedmedian' needs at least 3 clients a round, as the median of 2 is their mean, "
                f"but {clients}; take more clients, or 'fedavg'"
            ]
        if federation.strategy == "trimmed-mean" and int(federation.trimmed_share * num_sure) < 1:
            remedy = f"set it to {math.ceil(1000 / num_sure) / 1000:g} or more" if num_sure > 2 else "take 3 or more"
            return [
                f"federation.trimmed_share of {federation.trimmed_share:g} leaves nobody out where {clients}, so "
                f"'trimmed-mean' would be the plain mean; {remedy}, or take 'fedavg'"
            ]
        needed = 2 * federation.num_malicious + 3
        if federation.strategy == "krum" and num_sure < needed:
            return [
                "federation.strategy 'krum' needs at least 2 x federation.num_malicious + 3 clients a round (Blanchard "
                f"et al. 2017), here {needed}, but {clients}; take more clients, or lower federation.num_malicious"
            ]
        return []

    def _privacy_problems(self) -> list[str]:
        federation, problems = self.federation, []
        if federation.mode != "federated":
            problems.append(f"privacy needs federation.mode 'federated', but got {federation.mode!r}")
        if federation.strategy not in ("fedavg", "fedprox"):
            problems.append(
                "privacy needs federation.strategy 'fedavg' or 'fedprox', whose mean the account is for, but got "
                f"{federation.strategy!r}"
            )
        if federation.weighting != "uniform":
            problems.append(
                "privacy needs federation.weighting 'uniform', because no client may count for more than the noise "
                f"covers, but got {federation.weighting!r}"
            )
        if federation.max_failed_share > 0:
            problems.append(
                "privacy needs federation.max_failed_share 0, because the noise is made for the clients that were "
                f"asked, but got {federation.max_failed_share:g}"
            )
        if federation.aggregate == "discriminator":
            problems.append(
                "privacy needs federation.aggregate 'both' or 'generator', but got 'discriminator': tiles of the "
                "clients' own generators would travel to be judged, and no noise covers those"
            )
        if self.gan.generator == "custom-cnn":
            problems.append(
                "privacy needs gan.generator 'residual', but got 'custom-cnn', which draws tiles with BatchNorm "
                "statistics: means of a client's tiles, which never leave it"
            )
        return problems

    def resolved(self) -> Self:
        """Return the same with every field of ``gan`` set that has the value of the objective's source if unset."""
        return self.model_copy(update={"gan": self.gan.resolved()})

    @property
    def num_clients(self) -> int:
        """Clients that really exist: ``federation.num_clients``, or 1 in centralised mode."""
        return 1 if self.federation.mode == "centralised" else self.federation.num_clients
