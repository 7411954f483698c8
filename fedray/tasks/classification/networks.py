"""Networks that tell labels of tiles: a small CNN, or any model of timm, with a projection head or without."""

from torch import Tensor, nn
from torch.nn import functional

from fedray.config.classification import OWN_NETWORKS, ClassificationConfig
from fedray.data import TileShape
from fedray.learning import Condition
from fedray.learning.timm_models import TimmChoice, count_features, make_timm_model, pixel_statistics


class SmallCnn(nn.Module):
    """Four 3x3 convolutions with GroupNorm, ReLU and pooling, the mean over positions, and the heads.

    GroupNorm instead of BatchNorm: means of a client's labels would be the statistics of all (Hsieh et al. 2020).
    """

    def __init__(self, config: ClassificationConfig, shape: TileShape) -> None:
        """Size the layers by ``config.channels`` and the tile's shape."""
        super().__init__()
        layers: list[nn.Module] = []
        inward, edge = shape.channels, _entering(config, shape).size
        for factor in (1, 2, 4, 8):
            width = factor * config.channels
            layers += [
                nn.Conv2d(inward, width, 3, padding=1, bias=False),  # the norm after it has a shift
                nn.GroupNorm(8, width),
                nn.ReLU(),
                nn.MaxPool2d(2) if edge >= 2 else nn.Identity(),
            ]
            inward, edge = width, edge // 2
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.projection, self.head = _heads(config, inward, shape.num_labels)
        self._entering_size = _entering(config, shape).size

    def forward(self, tiles: Tensor) -> Tensor:
        """Turn tiles [N, C, size, size] float32 in [-1, 1] into logits [N, num_labels]."""
        logits: Tensor = self.head(self.represent(tiles))
        return logits

    def represent(self, tiles: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the vector of each tile that the head takes, [N, F]; what the tiles are has no say in it."""
        features: Tensor = self.projection(self.features(_enlarged(tiles, self._entering_size)))
        return features


class TimmNetwork(nn.Module):
    """A model of timm with the heads, fed with the pixel statistics it was trained on."""

    def __init__(self, config: ClassificationConfig, shape: TileShape, *, load_weights: bool) -> None:
        """Build the model. Arguments and errors as of :func:`make_network`."""
        super().__init__()
        entering = _entering(config, shape)
        choice = choice_of(config)
        self.features = make_timm_model(choice, entering, load_weights=load_weights)
        num_features = count_features(self.features, choice, entering)
        self.projection, self.head = _heads(config, num_features, shape.num_labels)
        self._entering_size = entering.size
        for name, value in zip(("mean", "std"), pixel_statistics(self.features, shape.channels), strict=True):
            self.register_buffer(name, value, persistent=False)

    def forward(self, tiles: Tensor) -> Tensor:
        """Turn tiles [N, C, size, size] float32 in [-1, 1] into logits [N, num_labels]."""
        logits: Tensor = self.head(self.represent(tiles))
        return logits

    def represent(self, tiles: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the vector of each tile that the head takes, [N, F]; what the tiles are has no say in it."""
        pixels = _enlarged(tiles, self._entering_size).add(1).div(2)  # in [0, 1]
        features: Tensor = self.projection(self.features((pixels - self.get_buffer("mean")) / self.get_buffer("std")))
        return features


def make_network(config: ClassificationConfig, shape: TileShape, *, load_weights: bool) -> nn.Module:
    """Build the configured network: tiles [N, C, size, size] float32 in [-1, 1] in, logits [N, num_labels] out.

    Args:
        config: Names the network and where its weights come from.
        shape: Of the tiles.
        load_weights: Whether ImageNet weights are wanted, if the configuration says so; off where all weights are about
            to be replaced.

    Raises:
        ModelError: There is no such network, it cannot take such tiles, or its weights are missing.
        PretrainedError: The package that has its weights is not installed.
    """
    if config.network in OWN_NETWORKS:
        return SmallCnn(config, shape)
    return TimmNetwork(config, shape, load_weights=load_weights)


def choice_of(config: ClassificationConfig) -> TimmChoice:
    """Say which model of timm the configuration asks for."""
    return TimmChoice(
        name=config.network,
        field="classification.network",
        imagenet=config.initialisation == "imagenet",
        weights=config.weights,
        own=OWN_NETWORKS,
        otherwise="random",
    )


def _heads(config: ClassificationConfig, num_features: int, num_labels: int) -> tuple[nn.Module, nn.Module]:
    """Build what stands on the features: the projection head of MOON (Li et al. 2021) or none, and the last layer."""
    projection: nn.Module = nn.Identity()
    if config.projection is not None:
        projection = nn.Sequential(
            nn.Linear(num_features, num_features), nn.ReLU(), nn.Linear(num_features, config.projection)
        )
    taken = config.projection or num_features
    return projection, nn.Sequential(nn.Dropout(config.dropout), nn.Linear(taken, num_labels))


def _entering(config: ClassificationConfig, shape: TileShape) -> TileShape:
    return shape._replace(size=max(shape.size, config.enlarge_to or 0))


def _enlarged(tiles: Tensor, size: int) -> Tensor:
    if tiles.shape[-1] == size:
        return tiles
    return functional.interpolate(tiles, (size, size), mode="bilinear", align_corners=False)
