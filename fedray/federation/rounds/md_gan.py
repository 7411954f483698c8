"""MD-GAN (Hardy et al. 2019, arXiv 1811.03850): one generator on the server, a discriminator with every client.

A round is a number of iterations. In each, the server sends every client generated tiles; the client trains its
discriminator on some of them and answers with the gradient of the generator's loss by the others, its feedback, from
which the server makes the generator's gradient. After every ``swap_every`` rounds the discriminators move on to other
clients, so that none learns one client's tiles by heart. What moves is a discriminator's parameters, as in the paper,
with its statistics; the moments of the optimiser, averages of gradients of a client's own tiles, stay where they are.
Weights of the generator never leave the server, tiles and labels never leave the clients: the labels of generated tiles
are drawn balanced, and a client trains on its own tiles of the same labels.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from torch import Tensor

from fedray.config import ExperimentConfig
from fedray.data import Census, LabelledTiles
from fedray.federation.account import Account
from fedray.federation.client import (
    PRIVATE,
    client_app,
    client_id,
    client_learner,
    keep_private,
    kept_optimizers,
    report_metrics,
    round_of,
)
from fedray.federation.divergence import check_convergence, check_losses
from fedray.federation.exchange import check_replies, check_server, exchange
from fedray.federation.messages import (
    ARRAYS,
    CONFIG,
    METRICS,
    NUM_EXAMPLES,
    ROUND,
    STEPS,
    WEIGHT,
    counts_of,
    experiment_of,
    experiment_record,
    from_record,
    losses_of,
    to_record,
)
from fedray.federation.rounds.base import Step
from fedray.federation.sites import source_of
from fedray.federation.state import FederationState, RoundReport, shared_arrays
from fedray.federation.strategies import mean_losses
from fedray.federation.traffic import Part
from fedray.learning import Arrays, Condition, RunningMeans, check_finite, steps_per_round, to_float, turn_and_flip
from fedray.randomness import derive_seed, stream
from fedray.simulation import RoundTiming
from fedray.tasks.gan import DISCRIMINATOR_PARTS, Gan, GanSteps, Optimizers, shared_parts

TRAIN = f"{MessageType.TRAIN}.md_gan"
TAKE = f"{MessageType.QUERY}.take_discriminator"
GIVE = f"{MessageType.QUERY}.give_discriminator"
ITERATION = "iteration"

Exchange = Callable[[list[Message]], list[Message]]
"""Sends messages and returns a good reply for each, in the order of the clients."""


# The clients.


@client_app.train("md_gan")
def train_discriminator(message: Message, context: Context) -> Message:
    """Train the client's discriminator on generated tiles and its own; reply with the feedback on the others."""
    config, arrays = experiment_of(message), from_record(message.content.array_records[ARRAYS])
    iteration = message.content.config_records[CONFIG][ITERATION]
    assert isinstance(iteration, int)
    seed = derive_seed(config.seed, "client", round_of(message), client_id(context), iteration)
    source = source_of(config, message, context)
    client, gan = source.tiles(client_id(context)), client_learner(config, context, source.shape())
    optimizers = cast(Optimizers, kept_optimizers(config, context, gan))
    steps = GanSteps(gan, optimizers, torch.Generator(gan.device).manual_seed(derive_seed(seed, "step")))
    means = RunningMeans(steps.terms)
    gan.discriminator.train()
    with torch.random.fork_rng(devices=[gan.device] if gan.device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "layers"))
        for number in range(config.gan.recipe.n_critic):
            fake, condition = generated(arrays, f"train-{number}", gan.device)
            matched = real_like(client, condition, gan, derive_seed(seed, "real", number))
            if matched is not None:
                real, kept = matched
                means.add("discriminator", steps.discriminator_on(real, fake[kept], condition.chosen(kept)))
        fake, condition = generated(arrays, "judge", gan.device)
        losses = steps.generator_losses(fake.requires_grad_(), condition)
        (feedback,) = torch.autograd.grad(losses["loss"], fake)
    means.add("generator", {name: value.detach() for name, value in losses.items()})
    report, answer = means.report(len(client.tiles)), {"feedback": feedback.cpu().numpy()}
    where = f"round {round_of(message)}, iteration {iteration}, client {client_id(context)}"
    check_losses(report.losses, where)
    check_finite(answer, where)
    keep_private(config, context, gan, optimizers, DISCRIMINATOR_PARTS, where)
    metrics = MetricRecord({WEIGHT: 1.0, **report_metrics(report)})
    return Message(RecordDict({ARRAYS: to_record(answer), METRICS: metrics}), reply_to=message)


@client_app.query("take_discriminator")
def take_discriminator(message: Message, context: Context) -> Message:
    """Reply with the client's discriminator."""
    return Message(RecordDict({PRIVATE: context.state[PRIVATE]}), reply_to=message)


@client_app.query("give_discriminator")
def give_discriminator(message: Message, context: Context) -> Message:
    """Take another client's discriminator in the place of one's own; one's moments go on with it."""
    context.state[PRIVATE] = message.content[PRIVATE]
    return Message(RecordDict(), reply_to=message)


def generated(arrays: Arrays, batch: str, device: torch.device) -> tuple[Tensor, Condition]:
    """Unpack a batch of generated tiles and their condition."""
    tiles, labels, domains = (torch.from_numpy(arrays[f"{batch}.{part}"]).to(device) for part in _PARTS)
    return tiles, Condition(labels, domains)


_PARTS = ("tiles", "labels", "domains")


def real_like(client: LabelledTiles, condition: Condition, gan: Gan, seed: int) -> tuple[Tensor, Tensor] | None:
    """Draw a client's tiles with the labels and domains of generated ones.

    Returns:
        The tiles [K, C, H, W] float32 in [-1, 1], and for which positions of the condition [K] there were any; a single
        one is there twice, because BatchNorm has no statistics of one tile. None if the client has no tile of any.
    """
    several = gan.shape.num_domains > 1
    # A discriminator that is not told the domain takes tiles of any.
    own, asked = (client.domains, condition.domains) if several else (0 * client.domains, 0 * condition.domains)
    wanted = list(zip(condition.labels.tolist(), asked.tolist(), strict=True))
    random = np.random.default_rng(seed)
    pools = {cell: np.flatnonzero((client.labels == cell[0]) & (own == cell[1])) for cell in sorted(set(wanted))}
    positions = [position for position, cell in enumerate(wanted) if len(pools[cell])]
    if not positions:
        return None
    if len(positions) == 1:
        positions *= 2
    chosen = np.array([random.choice(pools[wanted[position]]) for position in positions])
    tiles = to_float(torch.from_numpy(client.tiles[chosen]).to(gan.device))
    if gan.config.augment:
        tiles = turn_and_flip(tiles, torch.Generator().manual_seed(derive_seed(seed, "augment")))
    return tiles, torch.tensor(positions, device=gan.device)


# The server.


class GeneratorServer:
    """The server's generator between two rounds."""

    def __init__(self, config: ExperimentConfig, census: Census, arrays: Arrays, optimizer: Arrays) -> None:
        """Continue from the arrays and moments of a state, for clients of such tiles."""
        self._config, self._num_iterations = config, iterations_per_round(config, census.sizes)
        # The driver's process: it may have no GPU where the workers have.
        device = "cuda" if config.resources.device != "cpu" and torch.cuda.is_available() else "cpu"
        self._gan = Gan(config.gan, census.shape, config.seed, device, load_weights=False)
        self._gan.load(arrays)
        self._optimizers = Optimizers(self._gan)
        self._optimizers.load(optimizer)

    def arrays(self) -> Arrays:
        """Return the generator and its moving average."""
        return self._gan.arrays(shared_parts(self._config.federation))

    def optimizer(self) -> Arrays:
        """Return the moments of the generator's optimiser."""
        return self._optimizers.arrays()

    def run_round(self, round_index: int, clients: list[int], exchange: Exchange) -> list[RecordDict]:
        """Run a round's iterations, and swap the discriminators where it is time.

        Args:
            round_index: 1 for the first.
            clients: Node ids, in their order.
            exchange: How messages are sent.

        Returns:
            What the clients replied, iteration by iteration.
        """
        config, replies, num_iterations = self._config, list[RecordDict](), self._num_iterations
        random = torch.Generator(self._gan.device)
        random.manual_seed(derive_seed(config.seed, "md-gan", round_index))
        steps = GanSteps(self._gan, self._optimizers, random)
        self._gan.generator.train()
        with torch.random.fork_rng(devices=[self._gan.device] if self._gan.device.type == "cuda" else []):
            torch.manual_seed(derive_seed(config.seed, "md-gan", round_index, "layers"))
            for iteration in range(num_iterations):
                header = self._header(round_index, iteration)
                judged = [self._batch(steps) for _ in clients]
                answers = exchange(
                    [self._message(header, client, steps, batch) for client, batch in zip(clients, judged, strict=True)]
                )
                self._descend([tiles for tiles, _ in judged], [_feedback(answer) for answer in answers])
                self._gan.update_ema((round_index - 1) * num_iterations + iteration)
                replies += [answer.content for answer in answers]
        every = config.federation.swap_every
        if every and round_index % every == 0 and len(clients) > 1:
            self._swap(round_index, clients, exchange)
        return replies

    def _header(self, round_index: int, iteration: int) -> ConfigRecord:
        header = experiment_record(self._config)
        header[ROUND], header[ITERATION] = round_index, iteration
        return header

    def _batch(self, steps: GanSteps) -> tuple[Tensor, Condition]:
        shape, num = self._gan.shape, self._config.gan.batch_size
        condition = Condition(steps.draw(shape.num_labels, num), steps.draw(shape.num_domains, num))
        return steps.generate(condition), condition

    def _message(self, header: ConfigRecord, client: int, steps: GanSteps, judged: tuple[Tensor, Condition]) -> Message:
        batches = {"judge": judged}
        with torch.no_grad():
            for number in range(self._config.gan.recipe.n_critic):
                batches[f"train-{number}"] = self._batch(steps)
        arrays: Arrays = {}
        for name, (tiles, condition) in batches.items():
            parts = (tiles, *condition)
            arrays |= {
                f"{name}.{part}": value.detach().cpu().numpy() for part, value in zip(_PARTS, parts, strict=True)
            }
        content = RecordDict({CONFIG: header, ARRAYS: to_record(arrays)})
        return Message(content, client, TRAIN, group_id=str(header[ROUND]))

    def _descend(self, judged: list[Tensor], feedback: list[NDArray[np.float32]]) -> None:
        """Take the generator's step against the mean of the clients' gradients."""
        optimizer, generator = self._optimizers.generator, self._gan.generator
        optimizer.zero_grad(set_to_none=True)
        gradients = [torch.from_numpy(np.array(value)).to(self._gan.device) / len(feedback) for value in feedback]
        torch.autograd.backward(judged, gradients)
        if self._config.gan.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(generator.parameters(), self._config.gan.clip_norm)
        optimizer.step()

    def _swap(self, round_index: int, clients: list[int], exchange: Exchange) -> None:
        header = self._header(round_index, 0)
        taken = exchange([Message(RecordDict({CONFIG: header}), client, TAKE) for client in clients])
        targets = next_owners(clients, self._config.seed, round_index)
        exchange(
            [
                Message(RecordDict({CONFIG: header, **reply.content}), target, GIVE)
                for reply, target in sorted(zip(taken, targets, strict=True), key=lambda pair: pair[1])
            ]
        )


LOCKSTEP = True

_EVERY_STEP, _EVERY_SWAP = "every step of the generator", "every `federation.swap_every` rounds"
MESSAGES = (
    Part(
        "server", "train.md_gan", "config", "experiment|server-round|iteration",
        "the configuration, the numbers of round and step", "each site", _EVERY_STEP, "2 to 5 kB",
    ),
    Part(
        "server", "train.md_gan", "arrays", r"(train-\d+|judge)\.(tiles|labels|domains)",
        "generated tiles, with the labels and domains that they were made for", "each site", _EVERY_STEP,
        "`gan.n_critic` + 1 batches of float32 pixels",
    ),
    Part(
        "site", "train.md_gan", "arrays", "feedback",
        "gradient of the generator's loss with respect to the judged tiles", "server", _EVERY_STEP,
        "one batch of float32 pixels",
    ),
    Part("site", "train.md_gan", "metrics", "weight", "1", "server", _EVERY_STEP, "a number"),
    Part(
        "site", "train.md_gan", "metrics", r"num-examples|[a-z]+-steps|[a-z]+/.+",
        "number of training tiles, steps, and mean losses of each network", "server", _EVERY_STEP, "a number each",
    ),
    Part(
        "server", "query.take_discriminator", "config", "experiment|server-round|iteration",
        "the configuration, the number of the round", "each site", _EVERY_SWAP, "2 to 5 kB",
    ),
    Part(
        "site", "query.take_discriminator", PRIVATE, r"{private}\..+",
        "its discriminator with its statistics; not the moments of its optimiser", "server, for one other site",
        _EVERY_SWAP, "that network",
    ),
    Part(
        "server", "query.give_discriminator", "config", "experiment|server-round|iteration",
        "the configuration, the number of the round", "each site", _EVERY_SWAP, "2 to 5 kB",
    ),
    Part(
        "server", "query.give_discriminator", PRIVATE, r"{private}\..+", "the discriminator of one other site",
        "each site", _EVERY_SWAP, "that network",
    ),
)  # fmt: skip


def begin(
    config: ExperimentConfig, census: Census, state: FederationState, strategy: Strategy, account: Account
) -> Step:
    """Return what runs round after round with the generator of the state; no weights of clients are aggregated."""
    return partial(run_round, GeneratorServer(config, census, shared_arrays(state), state.optimizer))


def client_steps(config: ExperimentConfig, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the discriminator steps of a round: the same of every client."""
    return np.full(len(tiles), iterations_per_round(config, tiles) * config.gan.recipe.n_critic, np.int64)


def run_round(server: GeneratorServer, grid: Grid, state: FederationState, config: ExperimentConfig) -> RoundReport:
    """Run the next round of MD-GAN. Errors as in :func:`fedray.federation.federate`."""
    started, round_index = time.monotonic(), state.round_index + 1
    clients, timings = sorted(grid.get_node_ids()), list[RoundTiming]()

    def send(messages: list[Message]) -> list[Message]:
        replies, timing = exchange(grid, messages, None, config.federation)
        timings.extend([timing] if timing else [])
        return check_replies(messages, replies, round_index, config)

    replies = server.run_round(round_index, clients, send)
    metrics = mean_losses(replies, WEIGHT)
    losses, counts = losses_of(metrics), counts_of(metrics)
    check_convergence(losses, round_index)
    arrays, moments = server.arrays(), server.optimizer()
    check_server(arrays, moments, round_index)
    state.arrays, state.optimizer, state.round_index = to_record(arrays), moments, round_index
    counts[NUM_EXAMPLES] /= len(replies) / len(clients)
    counts[f"generator{STEPS}"] /= len(clients)  # every client judges each of the server's
    duration_s = time.monotonic() - started
    parts = {part: sum(timing.parts[part] for timing in timings) for part in (timings[0].parts if timings else {})}
    return RoundReport(
        round_index=round_index,
        losses=losses,
        counts=counts,
        num_clients=len(clients),
        num_failed=0,
        duration_s=duration_s,
        times={**parts, "aggregation": duration_s - sum(timing.wall_s for timing in timings)},
        utilisation=sum(t.compute_s for t in timings) / (timings[0].num_workers * duration_s) if timings else None,
    )


def next_owners(clients: list[int], seed: int, round_index: int) -> list[int]:
    """Draw who gets each client's discriminator: a cycle through all clients in random order, so nobody keeps one."""
    order = stream(seed, "swap", round_index).permutation(len(clients)).tolist()
    following = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [clients[following[position]] for position in range(len(clients))]


def iterations_per_round(config: ExperimentConfig, tiles: Sequence[int] | NDArray[np.int64]) -> int:
    """Generator steps of a round: as many as a client of average size would take in its local steps or epochs.

    Args:
        config: Of the experiment.
        tiles: Of each client.
    """
    federation, mean = config.federation, round(np.mean(tiles))
    steps = steps_per_round(mean, config.gan.batch_size, federation.local_epochs, federation.local_steps)
    return max(1, steps // config.gan.recipe.n_critic)


def _feedback(answer: Message) -> NDArray[np.float32]:
    feedback: NDArray[np.float32] = from_record(answer.content.array_records[ARRAYS])["feedback"].astype(np.float32)
    return feedback
