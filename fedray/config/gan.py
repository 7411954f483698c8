"""The section ``gan``: networks, objective, one local training step; and what the objectives' sources train with."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from fedray.config.section import Family, NonNegative, Positive

if TYPE_CHECKING:
    from fedray.config.schema import ExperimentConfig

PROJECTED = "projected"
"""The discriminator of arXiv 2111.01007, as ``gan.discriminator`` names it."""


class GanConfig(Family):
    """The networks, the objective and one local training step.

    A field that is unset has the value of the objective's source, or of the discriminator's where that is 'projected';
    --dry-run shows it.
    """

    TELLING: ClassVar[tuple[str, ...]] = ("objective", "generator", "discriminator")

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
    """File with the ImageNet weights; unset: those that are installed with FedRay ('tf_efficientnet_lite0'), or
    NAME.safetensors or NAME.pth in the folder of FEDRAY_WEIGHTS, or, where that is not set either, timm's own download.
    For initialisation 'imagenet'."""
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
    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimiser of both networks: 'adam', or 'sgd' without momentum, which 'scaffold' and 'fednova' need; its learning
    rates are larger by some orders of magnitude."""
    generator_lr: Positive | None = None
    """Learning rate of the generator, > 0; unset: 1e-4 for 'wgan-gp', else 2e-4."""
    discriminator_lr: Positive | None = None
    """Learning rate of the discriminator, > 0; unset: as the generator's."""
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

    @property
    def average_decay(self) -> float:
        """That of the generator's average."""
        return self.ema_decay

    @property
    def lacks_plain_sgd(self) -> str:
        """What a strategy that counts on plain SGD lacks, in words; empty where it has it."""
        return "" if self.optimizer == "sgd" else f"gan.optimizer 'sgd', but got {self.optimizer!r}"

    def uncompiled(self) -> Self:
        """Return the same without torch.compile."""
        return self.model_copy(update={"compile": False})

    def problems(self, experiment: "ExperimentConfig") -> list[str]:
        """Refuse what differential privacy does not cover."""
        if not experiment.privacy.on:
            return []
        problems = []
        if experiment.federation.aggregate == "discriminator":
            problems.append(
                "privacy needs federation.aggregate 'both' or 'generator', but got 'discriminator': tiles of the "
                "clients' own generators would travel to be judged, and no noise covers those"
            )
        if self.generator == "custom-cnn":
            problems.append(
                "privacy needs gan.generator 'residual', but got 'custom-cnn', which draws tiles with BatchNorm "
                "statistics: means of a client's tiles, which never leave it"
            )
        return problems

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
