"""One local pass: what a client does with its tiles between two messages from the server."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedray.config import GanConfig
from fedray.models.gan import Arrays, Gan, to_float
from fedray.models.generators import sample_noise
from fedray.models.objectives import OBJECTIVES, Losses, Objective
from fedray.randomness import derive_seed


class Optimizers:
    """The Adam optimisers of both networks, and their moments as named arrays."""

    def __init__(self, gan: Gan) -> None:
        """Make fresh optimisers with the configured learning rates (two time scales, Heusel et al. 2017)."""
        config, betas = gan.config, (gan.config.beta1, gan.config.beta2)
        self.generator = torch.optim.Adam(gan.generator.parameters(), config.generator_lr, betas)
        self.discriminator = torch.optim.Adam(gan.discriminator.parameters(), config.discriminator_lr, betas)

    def arrays(self) -> Arrays:
        """Return copies of the moments and step counts, keyed ``network.parameter-index.moment``."""
        return {
            f"{network}.{index}.{moment}": value.detach().cpu().numpy().copy()
            for network in ("generator", "discriminator")
            for index, moments in getattr(self, network).state_dict()["state"].items()
            for moment, value in moments.items()
        }

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue with the moments that :meth:`arrays` returned."""
        for network in ("generator", "discriminator"):
            optimizer: torch.optim.Adam = getattr(self, network)
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in arrays.items():
                owner, index, moment = name.split(".")
                if owner == network:
                    moments.setdefault(int(index), {})[moment] = torch.from_numpy(np.array(value))
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


@dataclass(frozen=True)
class PassReport:
    """What a local pass did."""

    num_examples: int
    """The client's tiles: its weight in the average."""
    losses: dict[str, float]
    """Means over the steps, named ``discriminator/*`` and ``generator/*``; 0 where that network took no step."""
    discriminator_steps: int
    """Discriminator steps taken."""
    generator_steps: int
    """Generator steps taken."""


def local_pass(
    gan: Gan,
    optimizers: Optimizers,
    tiles: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    num_steps: int,
    steps_before: int,
    seed: int,
) -> PassReport:
    """Train a GAN on one client's tiles, in place.

    The generator takes a step after every ``n_critic`` discriminator steps, counted over the whole experiment, so that
    rounds shorter than ``n_critic`` train it too. A loss that is not finite ends the pass at once.

    Args:
        gan: The networks, already on their device.
        optimizers: Of these networks.
        tiles: [N, H, W, C] uint8, N >= 1.
        labels: [N] int64.
        num_steps: Discriminator steps.
        steps_before: Discriminator steps this client took in earlier rounds.
        seed: Address of all draws of this pass.
    """
    config, device = gan.config, gan.device
    objective = OBJECTIVES[config.objective](config)
    random = torch.Generator(device).manual_seed(derive_seed(seed, "step"))
    means = RunningMeans(objective)
    gan.generator.train()
    gan.discriminator.train()
    batches = _batches(tiles, labels, config, device, seed)
    # Dropout layers draw from PyTorch's global state: give them a stream of ours and put the state back afterwards.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "layers"))
        for step in range(steps_before, steps_before + num_steps):
            real, wanted = next(batches)
            with torch.no_grad():
                fake = gan.generator(sample_noise(len(real), config.latent_dim, random), wanted)
            losses = objective.discriminator_losses(gan.discriminator, real, fake, wanted, random)
            finite = means.add("discriminator", _descend(optimizers.discriminator, losses))
            if finite and (step + 1) % config.n_critic == 0:
                fake = gan.generator(sample_noise(len(real), config.latent_dim, random), wanted)
                losses = objective.generator_losses(gan.discriminator, fake, wanted)
                finite = means.add("generator", _descend(optimizers.generator, losses))
                gan.update_ema(step // config.n_critic)
            if not finite:
                break
    return means.report(len(tiles))


def steps_per_round(num_tiles: int, batch_size: int, local_epochs: int, local_steps: int | None) -> int:
    """Discriminator steps a client takes in a round: ``local_steps``, or the batches of ``local_epochs`` epochs."""
    return local_steps if local_steps is not None else local_epochs * -(-num_tiles // batch_size)


class RunningMeans:
    """Means of named losses over steps, kept on the device: reading a loss every step would stall a GPU."""

    def __init__(self, objective: Objective) -> None:
        """Start at zero for every term of the objective: all clients report the same names."""
        terms = {"discriminator": objective.discriminator_terms, "generator": objective.generator_terms}
        self._sums: dict[str, Tensor | float] = {f"{net}/{term}": 0.0 for net in terms for term in terms[net]}
        self._steps = {"discriminator": 0, "generator": 0}

    def add(self, network: str, losses: Losses) -> bool:
        """Add one step's losses under ``network/name``. Returns whether the minimised one is finite."""
        self._steps[network] += 1
        for name, value in losses.items():
            self._sums[f"{network}/{name}"] += value
        return bool(torch.isfinite(losses["loss"]))

    def report(self, num_examples: int) -> PassReport:
        """Divide by the steps of each network."""
        means = {key: float(total) / max(1, self._steps[key.split("/")[0]]) for key, total in self._sums.items()}
        return PassReport(num_examples, means, self._steps["discriminator"], self._steps["generator"])


def _descend(optimizer: torch.optim.Optimizer, losses: Losses) -> Losses:
    optimizer.zero_grad(set_to_none=True)
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return {name: value.detach() for name, value in losses.items()}


def _batches(
    tiles: NDArray[np.uint8], labels: NDArray[np.int64], config: GanConfig, device: torch.device, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches for ever: tiles [B, C, H, W] float32 in [-1, 1] and labels [B], epoch after epoch."""
    pixels, wanted = torch.from_numpy(np.array(tiles)).to(device), torch.from_numpy(np.array(labels)).to(device)
    random = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    while True:
        order = torch.randperm(len(pixels), generator=random)
        for chosen in torch.split(order, config.batch_size):
            batch = to_float(pixels[chosen.to(device)])
            yield augment(batch, random) if config.augment else batch, wanted[chosen.to(device)]


def augment(tiles: Tensor, random: torch.Generator) -> Tensor:
    """Turn and flip each tile [N, C, S, S] by one of the eight symmetries of the square, drawn from a CPU stream."""
    symmetry = torch.randint(8, (len(tiles),), generator=random).to(tiles.device)
    turned = tiles
    for quarter_turns in range(1, 4):
        mask = (symmetry % 4 == quarter_turns).view(-1, 1, 1, 1)
        turned = torch.where(mask, torch.rot90(tiles, quarter_turns, dims=(2, 3)), turned)
    return torch.where((symmetry >= 4).view(-1, 1, 1, 1), turned.flip(3), turned)
