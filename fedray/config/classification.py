"""The section ``classification``: the network, its loss, one local training step, and when to stop."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fedray.config.allocation import PolicyName, described_policies
from fedray.config.data import SITES
from fedray.config.section import Family, NonNegative, Positive

if TYPE_CHECKING:
    from fedray.config.schema import ExperimentConfig

OWN_NETWORKS = ("cnn",)
"""Networks of ``classification.network`` that are no model of timm."""


class ClassificationConfig(Family):
    """A classifier of tiles: the network and one local training step."""

    TELLING: ClassVar[tuple[str, ...]] = ("network", "initialisation", "lr")

    network: str = "cnn"
    """The classifier: 'cnn' (four convolutions, for a CPU), 'efficientnet_b0', 'tf_efficientnet_lite0', 'resnet18',
    'resnet50', 'vit_b_16', 'vit_l_16', 'levit_384', or any other model name of timm."""
    channels: int = Field(32, ge=8, le=2048, multiple_of=8)
    """Channels of the first layer of 'cnn', 8 to 2048, a multiple of 8; later layers have 2x, 4x and 8x."""
    initialisation: Literal["random", "imagenet"] = "random"
    """Where the weights come from: 'random', or 'imagenet' for a model of timm."""
    weights: str | None = None
    """File with the ImageNet weights; unset: those that are installed with FedRay ('tf_efficientnet_lite0'), or
    NAME.safetensors or NAME.pth in the folder of FEDRAY_WEIGHTS, or, where that is not set either, timm's own download.
    For initialisation 'imagenet'."""
    enlarge_to: int | None = Field(None, ge=8, le=1024)
    """Edge in pixels that smaller tiles are enlarged to before they enter the network, 8 to 1024; the time of a step
    grows with its square. Unset: tiles enter as they are. Networks that know photographs of 224 px see more in tiles of
    about that size."""
    projection: int | None = Field(None, ge=2, le=4096)
    """Numbers that a projection head (linear, ReLU, linear) makes of the features, and that the last layer takes, 2 to
    4096. 256 is the head of the paper of 'moon': with it all strategies of a table train the same network. Unset: the
    last layer takes the features."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Dropout probability before the last layer, in [0, 1)."""
    label_weights: Literal["none", "balanced"] = "none"
    """What a tile weighs in the loss: 'none': 1; 'balanced': inversely to how many tiles the client has of its label,
    so that its labels count alike."""
    label_sampling: Literal["data", "balanced"] = "data"
    """Tiles that fill the batches: 'data': each tile once an epoch; 'balanced': as many of each label that the client
    has, so tiles of a rare label come again and again (oversampling) while an epoch stays as long as it is."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of the target that is spread over all labels (Szegedy et al. 2016), in [0, 1)."""
    tiles: Literal["real", "synthetic", "both"] = "real"
    """What is trained on: the clients' tiles ('real'), those of classification.synthetic ('synthetic'), or 'both'. What
    validates and what is tested are real tiles in any case."""
    synthetic: str | None = None
    """Tile store of synthetic tiles (jobs/generate_tiles.py makes one), its s3:// or gs:// address, with the labels and
    the tile size of data.store. For tiles 'synthetic' and 'both'."""
    synthetic_per_real: Positive | None = None
    """Synthetic tiles for each real training tile, > 0: 0.5 is half as many, drawn from each label alike, and what is
    drawn for less is among what is drawn for more. Unset: all that the store has. In federation.mode 'fedssg' the most
    that is handed out at a time, to all clients together; unset: as much as the policy asks for."""
    allocation: PolicyName = Field("balance", description=described_policies())
    refresh_every: int | None = Field(None, ge=1)
    """Rounds after which clients are handed other tiles of the store in the place of those they have, >= 1; unset: they
    keep those of round 1. For federation.mode 'fedssg'."""
    count_noise: NonNegative = 0.0
    """Standard deviation, in tiles, of the Gaussian noise that each client adds to its counts of labels and domains
    before it tells them, >= 0; 0: exact counts. What the counts cost is logged as privacy/epsilon: of one tile more or
    less, or with count_clip of one patient; how many tiles a client has in all travels besides. For federation.mode
    'fedssg'."""
    count_clip: Positive | None = None
    """Most that a patient counts for at a client, in tiles, > 0: counts of a patient (a group of the store) that are
    longer, as the root of the sum of their squares, are scaled down to it, and privacy/epsilon is of one patient more
    or less at a client. Unset: it is of one tile, and a patient with n tiles has up to that of noise n times as small.
    For count_noise."""
    batch_size: int = Field(32, ge=2, le=65536)
    """Tiles per optimiser step on a client, >= 2; a client with fewer tiles uses all it has, and a tile that is left
    over alone at the end of an epoch joins the batch before it."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimiser: 'adamw', or 'sgd' without momentum, which 'scaffold' and 'fednova' need, with final_lr_share 1; its
    learning rates are larger by an order of magnitude or two."""
    lr: Positive = 1e-3
    """Learning rate at the start of a period, > 0. Fine-tuning of ImageNet weights wants less than random
    weights do, and a transformer less than convolutions."""
    final_lr_share: float = Field(0.01, ge=0.0, le=1.0)
    """Share of the learning rate that is left at the end of a period, in [0, 1]; 1 keeps it constant."""
    restart_every: int | None = Field(None, ge=1)
    """Rounds of the first period, >= 1, over which the learning rate falls along a cosine before it starts anew
    (Loshchilov and Hutter 2017); unset: all rounds are one period."""
    restart_factor: int = Field(2, ge=1)
    """How many times as long as the one before each period is, >= 1."""
    weight_decay: NonNegative = 0.01
    """Weight decay, >= 0: decoupled in AdamW, a term of the loss in SGD; biases and norms have none."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient, > 0; a longer one is scaled down. Unset: none is."""
    augment: Literal["none", "histology", "geometric"] = "geometric"
    """Of training tiles: 'geometric': crops of 64 to 100 % of the area, horizontal flips and rotations by up to 45
    degrees (arXiv 2504.04130); 'histology': one of the eight flips and quarter turns."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network's products and convolutions; weights and losses stay float32."""
    patience: int | None = Field(None, ge=1)
    """Evaluations in a row without a smaller validation loss after which the training stops, >= 1; the network of the
    smallest is the result. Unset: all rounds run, and the network of the last one is."""
    validation_share: float = Field(0.15, gt=0.0, lt=1.0)
    """Share of each client's tiles of a label that validate and are not trained on, in (0, 1), and one of two tiles at
    the least. For patience."""

    @model_validator(mode="after")
    def _weights_that_go_with_the_network(self) -> Self:
        if self.network in OWN_NETWORKS and (self.initialisation == "imagenet" or self.weights):
            raise ValueError(
                "classification.initialisation 'imagenet' and classification.weights are for models of timm, but "
                f"classification.network is {self.network!r}, which has no ImageNet weights; leave them out, or take "
                "'tf_efficientnet_lite0', whose weights are installed with FedRay"
            )
        if self.weights and self.initialisation == "random":
            raise ValueError(
                "classification.weights needs classification.initialisation 'imagenet', but got 'random': leave the "
                "file out, or set the initialisation"
            )
        return self

    @model_validator(mode="after")
    def _synthetic_tiles_that_are_used(self) -> Self:
        if self.tiles != "real" and self.synthetic is None:
            raise ValueError(
                f"classification.tiles {self.tiles!r} needs classification.synthetic, a store of synthetic tiles "
                "(jobs/generate_tiles.py makes one), but got none"
            )
        if self.tiles == "real" and (self.synthetic or self.synthetic_per_real):
            given = "synthetic" if self.synthetic else "synthetic_per_real"
            raise ValueError(
                f"classification.{given} is {getattr(self, given)!r}, but classification.tiles is 'real' and nothing "
                "would read it; set classification.tiles to 'both' or 'synthetic', or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _labels_balanced_once(self) -> Self:
        if self.label_sampling == "balanced" and self.label_weights == "balanced":
            raise ValueError(
                "classification.label_sampling and classification.label_weights are both 'balanced', and each alone "
                "makes the labels count alike; leave one of them out"
            )
        return self

    @property
    def is_private(self) -> bool:
        """Whether clients noise the counts that they tell."""
        return self.count_noise > 0 and self.allocation != "none"

    @property
    def count_multiplier(self) -> float:
        """Noise multiplier of the counts: the noise's deviation, in the most that what they hide changes them."""
        return self.count_noise / (self.count_clip or 1.0)

    @property
    def other_stores(self) -> Mapping[str, str]:
        """The synthetic tiles, if any."""
        return {"synthetic": self.synthetic} if self.synthetic else {}

    @property
    def stops_after(self) -> int | None:
        """The patience."""
        return self.patience

    @property
    def lacks_plain_sgd(self) -> str:
        """What a strategy that counts on plain SGD, with steps of one length, lacks in words; empty where it has it."""
        if self.optimizer != "sgd":
            return f"classification.optimizer 'sgd', but got {self.optimizer!r}"
        if self.final_lr_share != 1:
            return f"classification.final_lr_share 1, for steps of one length, but got {self.final_lr_share:g}"
        return ""

    def problems(self, experiment: "ExperimentConfig") -> list[str]:
        """Refuse what is made for generators, and an early stop that nobody could tell."""
        federation, problems = experiment.federation, list[str]()
        if federation.mode == "md-gan":
            problems.append(
                "federation.mode must be 'federated', 'fedssg' or 'centralised' for task 'classification', but got "
                "'md-gan'"
            )
        if federation.aggregate != "both":
            problems.append(
                "federation.aggregate is which network of a GAN is averaged, but task is 'classification', and got "
                f"{federation.aggregate!r}; leave it out"
            )
        if experiment.privacy.on:
            problems.append(
                "privacy is for tasks that make tiles: a classifier is judged on the clients' tiles, and its noise was "
                "never tried; leave it out"
            )
        if experiment.evaluation.num_samples is not None or experiment.evaluation.extractor is not None:
            problems.append(
                "evaluation.num_samples and evaluation.extractor are for generated tiles, but task is "
                "'classification', which is judged by all tiles of evaluation.split; leave them out"
            )
        if self.patience is not None and experiment.data.store == SITES:
            problems.append(
                f"classification.patience needs a data.store that the server has too, but got {SITES!r}: it has no "
                "tile to validate on"
            )
        if self.patience is not None and federation.personal:
            problems.append(
                "classification.patience needs a common network to go back to, but federation.strategy is "
                f"{federation.strategy!r}, with which every client keeps its own; leave it out"
            )
        if self.tiles != "real" and experiment.data.store == SITES and federation.mode != "fedssg":
            problems.append(
                f"classification.tiles {self.tiles!r} needs a data.store that the server has too, but got {SITES!r}: "
                "no site has the synthetic tiles; leave it out, or take federation.mode 'fedssg', in which the server "
                "hands them out"
            )
        return [*problems, *self._distribution_problems(federation.mode)]

    def _distribution_problems(self, mode: str) -> list[str]:
        """Refuse a distribution without tiles, and what only a distribution would read."""
        if mode != "fedssg":
            return [
                f"classification.{name} is for federation.mode 'fedssg', but the mode is {mode!r} and nothing would "
                "read it; leave it out, or set the mode"
                for name in ("allocation", "refresh_every", "count_noise", "count_clip")
                if getattr(self, name) != type(self).model_fields[name].default
            ]
        if self.tiles == "synthetic" or (self.tiles == "real" and self.allocation != "none"):
            return [
                "federation.mode 'fedssg' hands out tiles of classification.synthetic beside the clients' own, so it "
                f"needs classification.tiles 'both', but got {self.tiles!r}; set it, or classification.allocation "
                "'none' to hand out nothing"
            ]
        if self.count_clip is not None and not self.count_noise:
            return [
                f"classification.count_clip is {self.count_clip:g}, but classification.count_noise is 0: exact counts "
                "have no account, whatever a patient counts for; set it, or leave the clip out"
            ]
        return []
