"""The section ``flow``: the velocity network, how it is trained, and how tiles are made with it."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fedray.config.section import Family, NonNegative, Positive

if TYPE_CHECKING:
    from fedray.config.schema import ExperimentConfig


class FlowConfig(Family):
    """Flow matching on straight paths (Lipman et al. 2023): the network, one local training step, and the sampler."""

    TELLING: ClassVar[tuple[str, ...]] = ("network", "channels", "lr")

    network: Literal["unet"] = "unet"
    """The velocity network: 'unet' has residual blocks with GroupNorm, modulated (FiLM) by time, label and domain, and
    attention on its smallest maps, of 8 px or less."""
    channels: int = Field(32, ge=8, le=1024, multiple_of=8)
    """Channels of the largest maps, 8 to 1024, a multiple of 8; maps of half the size have 2x, all smaller ones 4x."""
    blocks: int = Field(1, ge=1, le=8)
    """Residual blocks for each size of maps on the way down, and as many on the way up, 1 to 8."""
    patch: Literal[1, 2, 4] = 1
    """Edge in pixels of the squares that are folded into channels before the network and unfolded after it: 2 makes a
    step about four times as cheap, and fine structure harder. The tile's edge is a multiple of it."""
    batch_size: int = Field(32, ge=2, le=65536)
    """Tiles per optimiser step on a client, >= 2; a client with fewer tiles uses all it has, and a tile that is left
    over alone at the end of an epoch joins the batch before it."""
    times: Literal["logit-normal", "uniform"] = "logit-normal"
    """How times between noise (0) and tile (1) are drawn in training: 'logit-normal' takes more from the middle (Esser
    et al. 2024), 'uniform' all alike."""
    optimizer: Literal["muon", "adamw", "sgd"] = "muon"
    """Optimiser: 'muon' for the convolutions between the first and the last (Jordan et al. 2024), with AdamW for all
    else; 'adamw'; or 'sgd' without momentum, which 'scaffold' and 'fednova' need, with decay 'constant' and
    warmup_share 0; its learning rates are larger by orders of magnitude."""
    lr: Positive = 3e-3
    """Largest learning rate, > 0."""
    warmup_share: float = Field(0.05, ge=0.0, lt=1.0)
    """Share of all steps, of all rounds together, over which the learning rate rises from 0, in [0, 1)."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0 over the rest of all rounds, or that it does not."""
    weight_decay: NonNegative = 0.0
    """Weight decay, >= 0: decoupled in AdamW, a term of the loss in SGD; biases and norms have none."""
    clip_norm: Positive | None = 1.0
    """Largest norm of the gradient, > 0; a longer one is scaled down. Unset: none is."""
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0)
    """Decay per step of the moving average that is evaluated, in [0, 1); it warms up over the first steps."""
    label_dropout: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of training tiles whose label is withheld, in [0, 1): what guidance needs, and tiles of no label."""
    domain_dropout: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of training tiles whose domain is withheld, where there are several, in [0, 1): for tiles of no domain."""
    augment: bool = True
    """Draw a random flip and quarter turn of every training tile (label-safe in histology)."""
    sampler: Literal["euler", "heun", "midpoint"] = "midpoint"
    """How tiles are made of noise: 'euler' calls the network once a step, 'heun' and 'midpoint' twice and are of second
    order (the last step of 'heun' calls it once)."""
    steps: int = Field(10, ge=1, le=1000)
    """Steps from noise to tile, all of one length, 1 to 1000."""
    guidance: NonNegative = 1.0
    """How far towards its label a tile is pushed, away from tiles of no label (Ho and Salimans 2022), >= 0: 1 is the
    network as it learned, more is purer and less diverse; another value than 1 doubles the cost of a tile."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the network's products and convolutions: 'auto' is bfloat16 where the device computes with it
    (GPUs, processors with AMX), else float32. Weights, losses and tiles stay float32."""

    @property
    def average_decay(self) -> float:
        """That of the network's average."""
        return self.ema_decay

    @property
    def lacks_plain_sgd(self) -> str:
        """What a strategy that counts on plain SGD, with steps of one length, lacks in words; empty where it has it."""
        if self.optimizer != "sgd":
            return f"flow.optimizer 'sgd', but got {self.optimizer!r}"
        if self.decay != "constant" or self.warmup_share != 0:
            return (
                "flow.decay 'constant' and flow.warmup_share 0, for steps of one length, but got "
                f"{self.decay!r} and {self.warmup_share:g}"
            )
        return ""

    def problems(self, experiment: "ExperimentConfig") -> list[str]:
        """Refuse what is made for a GAN's two networks."""
        federation, problems = experiment.federation, list[str]()
        if federation.mode == "md-gan":
            problems.append("federation.mode must be 'federated' or 'centralised' for task 'flow', but got 'md-gan'")
        if federation.aggregate != "both":
            problems.append(
                "federation.aggregate is which network of a GAN is averaged, but task is 'flow', and got "
                f"{federation.aggregate!r}; leave it out"
            )
        return problems

    @model_validator(mode="after")
    def _what_guidance_needs(self) -> Self:
        if self.guidance != 1 and self.label_dropout == 0:
            raise ValueError(
                f"flow.guidance {self.guidance:g} needs flow.label_dropout > 0, but got 0: the network never learned "
                "tiles of no label; set the dropout, or take guidance 1"
            )
        return self
