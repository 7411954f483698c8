"""FedIIC (Wu et al. 2023, arXiv 2206.13803): for clients with other shares of labels, some of them rare.

A projector of two linear layers without a nonlinearity between maps what the last layer takes to unit vectors z; it is
trained beside the network, averaged with it, and judges nothing. Of two views of N tiles a client minimises

    CE(y + log(p_c / (l_c^0.25 + 1e-5)))  +  2 intra  +  2 inter

with its own share p_c of label c, and l_c the mean loss of the round's network on all tiles of c of the round's
clients. A label that a client lacks is out of its softmax, as log 0 says. CE is of the first view.

    intra = mean over 2 N vectors i of mean over those j of the same label of -log softmax_j (z_i z_j / t_ij)
    inter = mean over 2 N vectors i of -log softmax_c (z_i q_c / 0.1)

with t_ij = max(sqrt(p_i p_j), 0.07) of the shares of both labels, softmax over all others. The prototypes q are made by
the server in every round: the projector of the last layer's weights of each label, moved apart by 1,000 steps of
gradient descent (rate 0.1) on the sum over labels of the largest cosine to another one, and of length 1.

Beside networks and projector clients tell the server the summed loss and the number of their tiles of each label:
that is more than a mean of weights gives away. The authors' code stops moving prototypes apart at right angles, and
takes losses of one augmented copy of the tiles; here they are of the tiles as they are, in evaluation mode.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg, Strategy
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedray.config import ConfigError, ExperimentConfig
from fedray.data import LabelledTiles
from fedray.federation.exchange import ask_before
from fedray.federation.messages import from_record, to_record
from fedray.federation.strategies.base import COMMON, EXTRA, ClientHalf, MakeLearner, separated
from fedray.federation.traffic import Part
from fedray.learning import Arrays, ClassifierHook, Hook, Learner, copies_of, copy_in
from fedray.randomness import derive_seed
from fedray.simulation import mergeable
from fedray.tasks import Classifier, task_of

DIFFICULTY, INTRA, INTER = 0.25, 2.0, 2.0
LEAST_TEMPERATURE, TEMPERATURE = 0.07, 0.1
WIDTH = 1024
SPREAD_STEPS, SPREAD_RATE = 1000, 0.1
"""All as in the paper and its authors' code."""

LOSSES, COUNTS, PROTOTYPES, PROJECTOR = "class-losses", "class-counts", "prototypes", "projector"


def server(config: ExperimentConfig, make: MakeLearner) -> Strategy:
    """Return a strategy of Flower; ConfigError where what is trained is no classifier, or labels are balanced twice."""
    if task_of(config).ABILITY != "labels":
        raise ConfigError(
            f"federation.strategy 'fediic' is for classifiers, but task is {config.task!r}; take task 'classification'"
        )
    settings = config.classification
    for field, needed in (("label_weights", "none"), ("label_sampling", "data"), ("label_smoothing", 0)):
        if (value := getattr(settings, field)) != needed:
            raise ConfigError(
                f"federation.strategy 'fediic' needs classification.{field} {needed!r}, but got {value!r}: it corrects "
                "logits by the shares of a client's labels itself, and those that the client lacks are out of its loss"
            )
    return FedIic(config, make())


class FedIic(FedAvg):
    """The server's half."""

    def __init__(self, config: ExperimentConfig, learner: Learner) -> None:
        """Begin with a projector of random weights."""
        super().__init__(**COMMON)
        self._config = config
        self._last, layer = last_layer(learner)
        self._projector = copies_of({PROJECTOR: make_projector(layer.in_features, config.seed)}, [PROJECTOR])

    def arrays(self) -> Arrays:
        """Return the projector."""
        return self._projector

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on with this projector; before the first round there is none yet."""
        self._projector = dict(arrays) or self._projector

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Iterable[Message]:
        """Ask the clients of the round for their losses, and send the means and the prototypes beside the networks."""
        answers = ask_before(grid, arrays, config, self._config, server_round)
        losses, counts = (np.sum([answer[name] for answer in answers], axis=0) for name in (LOSSES, COUNTS))
        told = {
            LOSSES: (losses / np.maximum(counts, 1)).astype(np.float32),
            PROTOTYPES: spread(_projected(self._projector, arrays[self._last].numpy())),
            **self._projector,
        }
        sent = to_record({EXTRA + name: value for name, value in told.items()})
        return super().configure_train(server_round, ArrayRecord({**arrays, **sent}), config, grid)

    @mergeable
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the means, of the projector too."""
        means, metrics = super().aggregate_train(server_round, replies)
        if means is None:
            return means, metrics
        networks, told = separated(from_record(means))
        self._projector = {name: value.astype(np.float32) for name, value in told.items()}
        return to_record(networks), metrics


class Contrasted(ClientHalf):
    """A client's half."""

    MESSAGES: ClassVar[tuple[Part, ...]] = (
        Part(
            "server", "query.ask", "config", "experiment|server-round",
            "the configuration, the number of the round", "each site of the round", "before every round", "2 to 5 kB",
        ),
        Part(
            "server", "query.ask", "arrays", r"{shared}\..+", "the classifier that the round begins with",
            "each site of the round", "before every round", "that network",
        ),
        Part(
            "site", "query.ask", "arrays", f"{LOSSES}|{COUNTS}",
            "summed loss of that classifier on its training tiles of each label, and how many these are", "server",
            "before every round that it is drawn for", "two numbers a label",
        ),
        Part(
            "server", "train", "arrays", rf"{EXTRA}({LOSSES}|{PROTOTYPES}|{PROJECTOR}\..+)",
            "mean loss of each label over these sites, a prototype of each label, the projector",
            "each site of the round", "every round", "the projector: d x d + 1024 d numbers for d features",
        ),
        Part(
            "site", "train", "arrays", rf"{EXTRA}{PROJECTOR}\..+", "the projector after its training", "server",
            "every round that it is drawn for", "the projector",
        ),
    )  # fmt: skip

    def answer(self, learner: Learner, tiles: LabelledTiles) -> Arrays:
        """Return summed cross entropy, float64, and number of tiles, int64, of each label."""
        logits = torch.from_numpy(cast(Classifier, learner).logits(tiles.tiles)).double()
        labels = np.asarray(tiles.labels, np.int64)
        losses = functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
        num_labels = logits.shape[1]
        return {
            LOSSES: np.bincount(labels, losses.numpy(), num_labels),
            COUNTS: np.bincount(labels, minlength=num_labels),
        }

    def begin(self, learner: Learner, told: Arrays, kept: Arrays) -> Sequence[Hook]:
        """Contrast; where only a step is timed by losses of 1, and prototypes of the network as it is."""
        name, layer = last_layer(learner)
        projector = make_projector(layer.in_features, self.config.seed)
        own = {key: value for key, value in told.items() if key.startswith(f"{PROJECTOR}.")}
        copy_in({f"{PROJECTOR}.{key}": value for key, value in projector.state_dict().items()}, own, "the projector")
        self._projector = projector.to(layer.weight.device)
        weights = learner.arrays([name])[name]
        prototypes = told[PROTOTYPES] if told else _unit(_projected(self._arrays(), weights)).astype(np.float32)
        losses = told[LOSSES] if told else np.ones(len(weights), np.float32)
        return [Contrast(self._projector, prototypes, losses)]

    def end(self, learner: Learner, steps: Mapping[str, int]) -> Arrays:
        """Return the shared parts, and the projector."""
        return super().end(learner, steps) | {EXTRA + name: value for name, value in self._arrays().items()}

    def _arrays(self) -> Arrays:
        return copies_of({PROJECTOR: self._projector}, [PROJECTOR])


client = Contrasted


class Contrast(ClassifierHook):
    """Corrects logits, and contrasts two views of each tile with those of the batch and with the prototypes."""

    views = 2

    def __init__(self, projector: nn.Module, prototypes: NDArray[Any], losses: NDArray[Any]) -> None:
        """Take the projector, which is trained; prototypes [num_labels, D] float32; mean losses [num_labels]."""
        self._projector, self._losses = projector, losses
        self._prototypes = torch.from_numpy(np.array(prototypes)).to(next(projector.parameters()).device)

    def begin(self, tiles: LabelledTiles) -> Sequence[nn.Module]:
        """Count the client's labels, and have the projector trained."""
        counts = np.bincount(tiles.labels, minlength=len(self._losses))
        device = self._prototypes.device
        self._adjustment = torch.from_numpy(adjustment(counts, self._losses)).float().to(device)
        self._shares = torch.from_numpy(counts / counts.sum()).float().to(device)
        return [self._projector]

    def logits(self, logits: Tensor) -> Tensor:
        """Correct them by shares and difficulty."""
        return logits + self._adjustment

    def contrast(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return both terms with their weights."""
        vectors = functional.normalize(self._projector(features[: self.views].flatten(0, 1)), dim=1)
        labels = labels.repeat(self.views)
        within = intra(vectors, labels, self._shares)
        return INTRA * within + INTER * functional.cross_entropy(vectors @ self._prototypes.T / TEMPERATURE, labels)


def adjustment(counts: NDArray[np.int64], losses: NDArray[Any]) -> NDArray[np.float64]:
    """Return what is added to the logits of a client.

    Args:
        counts: Its tiles of each label, [num_labels]; one at least.
        losses: Mean losses of the round's network, [num_labels], >= 0.

    Returns:
        [num_labels]; -inf for a label that it lacks.
    """
    with np.errstate(divide="ignore"):  # log 0 is meant
        shares = np.log(counts / counts.sum())
    corrected: NDArray[np.float64] = shares - np.log(np.asarray(losses, np.float64) ** DIFFICULTY + 1e-5)
    return corrected


def intra(vectors: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Supervised contrast (Khosla et al. 2020) with a temperature of each pair of labels, a scalar.

    Args:
        vectors: [M, D] of length 1; each has another one of its label.
        labels: [M] int64.
        shares: Of the client's tiles, [num_labels].
    """
    own = shares[labels]
    temperatures = torch.outer(own, own).sqrt().clamp(min=LEAST_TEMPERATURE)
    oneself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    chances = (vectors @ vectors.T / temperatures).masked_fill(oneself, -torch.inf).log_softmax(1)
    alike = (labels[:, None] == labels) & ~oneself
    return -(chances.masked_fill(~alike, 0.0).sum(1) / alike.sum(1)).mean()


def spread(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Move vectors apart: gradient descent on the sum over all of the largest cosine to another one.

    Args:
        vectors: [num_labels, D], two at least, none of length 0.

    Returns:
        [num_labels, D] of length 1.
    """
    moved, rows = np.array(vectors, np.float64), np.arange(len(vectors))
    for _ in range(SPREAD_STEPS):
        unit = _unit(moved)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -np.inf)
        nearest = np.zeros_like(cosines)
        nearest[rows, cosines.argmax(1)] = 1.0
        slope = (nearest + nearest.T) @ unit  # of the sum, by the unit vectors
        slope -= (slope * unit).sum(1, keepdims=True) * unit  # what would change their lengths
        moved -= SPREAD_RATE * slope / np.linalg.norm(moved, axis=1, keepdims=True)
    return _unit(moved).astype(np.float32)


def make_projector(num_features: int, seed: int) -> nn.Sequential:
    """Build the projector with weights drawn from the stream ``(seed, "projector")``."""
    with torch.random.fork_rng(devices=[]):  # layers initialise themselves from PyTorch's global state
        torch.manual_seed(derive_seed(seed, "projector"))
        return nn.Sequential(nn.Linear(num_features, num_features), nn.Linear(num_features, WIDTH))


def last_layer(learner: Learner) -> tuple[str, nn.Linear]:
    """Return a classifier's last layer, and the name of its weights, [num_labels, F]."""
    ((part, network),) = learner.networks().items()
    name, layer = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    return f"{part}.{name}.weight", layer


def _projected(projector: Arrays, vectors: NDArray[Any]) -> NDArray[Any]:
    for layer in (0, 1):
        weight, bias = (projector[f"{PROJECTOR}.{layer}.{kind}"] for kind in ("weight", "bias"))
        vectors = vectors @ weight.T + bias
    return vectors


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    unit: NDArray[Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
