"""One optimiser step of each network: judge, lose, penalise, descend."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fedray.learning import DIFF_AUGMENTS, Condition, Hook, Losses
from fedray.learning.optimizers import lay_out_gradients
from fedray.tasks.gan.conditions import sample_noise
from fedray.tasks.gan.discriminators import judge_both
from fedray.tasks.gan.gan import Gan
from fedray.tasks.gan.objectives import OBJECTIVES
from fedray.tasks.gan.optimizers import Optimizers
from fedray.tasks.gan.penalties import PENALTIES


class GanSteps:
    """The steps of one GAN on one device."""

    def __init__(self, gan: Gan, optimizers: Optimizers, random: torch.Generator, hooks: Iterable[Hook] = ()) -> None:
        """Take what the steps work on.

        Args:
            gan: The networks.
            optimizers: Of these networks.
            random: Stream of noise, penalties, labels and differentiable augmentation, on the networks' device.
            hooks: Asked in their order.
        """
        self.gan, self._optimizers, self._random, self._hooks = gan, optimizers, random, tuple(hooks)
        self.recipe = gan.config.recipe
        self.objective = OBJECTIVES[gan.config.objective]()
        self._augment = DIFF_AUGMENTS[gan.config.diff_augment]
        self._penalty = PENALTIES.get(self.recipe.penalty)

    @property
    def terms(self) -> dict[str, tuple[str, ...]]:
        """Names of the losses that each network's steps return, ``loss`` first."""
        penalty = (self._penalty[0],) if self._penalty else ()
        return {
            "discriminator": (*self.objective.discriminator_terms, *penalty),
            "generator": self.objective.generator_terms,
        }

    def discriminator(self, real: Tensor, condition: Condition) -> Losses:
        """Train the discriminator on real tiles [N, C, H, W] float32 in [-1, 1] and as many generated ones."""
        with torch.no_grad():
            fake = self.generate(condition)
        return self.discriminator_on(real, fake, condition)

    def discriminator_on(self, real: Tensor, fake: Tensor, condition: Condition) -> Losses:
        """Train the discriminator on real tiles and generated ones of the same condition, both [N, C, H, W]."""
        real, fake = self._augment(real, self._random), self._augment(fake, self._random)
        with self.gan.autocast():
            judged_real, judged_fake = judge_both(self.gan.discriminator, real, fake, condition)
        losses = self.objective.discriminator_losses(judged_real, judged_fake, condition)
        for hook in self._hooks:
            term = hook.loss("discriminator", self.gan.discriminator, real, condition)
            losses = losses if term is None else {**losses, "loss": losses["loss"] + term}
        if self._penalty:
            name, function = self._penalty
            # In float32: a gradient's gradient has no digits to spare.
            penalty = function(self.gan.discriminator, real, fake, condition, self._random)
            losses = {**losses, "loss": losses["loss"] + self.recipe.gradient_penalty * penalty, name: penalty}
        return self._descend("discriminator", losses)

    def generator(self, condition: Condition) -> Losses:
        """Train the generator on tiles of the given condition, or of balanced labels."""
        condition = self.wanted(condition)
        losses = self.generator_losses(self.generate(condition), condition)
        return self._descend("generator", losses)

    def generator_losses(self, fake: Tensor, condition: Condition) -> Losses:
        """Let the discriminator judge generated tiles [N, C, H, W]; nothing is trained."""
        # The discriminator's own gradients are not wanted: their products are a third of the backward pass.
        with _without_gradients(self.gan.discriminator), self.gan.autocast():
            judged = self.gan.discriminator(self._augment(fake, self._random), condition)
            return self.objective.generator_losses(judged, condition)

    def generate(self, condition: Condition) -> Tensor:
        """Generate tiles [N, C, H, W] float32 in [-1, 1] from fresh noise."""
        noise = sample_noise(len(condition.labels), self.gan.noise_length, self._random)
        with self.gan.autocast():
            tiles: Tensor = self.gan.generator(noise, condition)
        return tiles

    def wanted(self, condition: Condition) -> Condition:
        """Return the condition that the generator is trained on: the given one, or one with balanced labels."""
        if self.gan.config.label_sampling == "data":
            return condition
        return condition._replace(labels=self.draw(self.gan.shape.num_labels, len(condition.labels)))

    def draw(self, num_choices: int, num: int) -> Tensor:
        """Draw labels or domains [num] int64, all alike."""
        return torch.randint(num_choices, (num,), generator=self._random, device=self._random.device)

    def _descend(self, name: str, losses: Losses) -> Losses:
        optimizer: torch.optim.Optimizer = getattr(self._optimizers, name)
        network: nn.Module = getattr(self.gan, name)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.gradient(name, network)
        if self._hooks:
            lay_out_gradients(network)
        if self.gan.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self.gan.config.clip_norm)
        optimizer.step()
        return {term: value.detach() for term, value in losses.items()}


class _without_gradients:
    """Treat a network's parameters as constants within a ``with`` block."""

    def __init__(self, network: nn.Module) -> None:
        self._trained = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def __enter__(self) -> None:
        for parameter in self._trained:
            parameter.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for parameter in self._trained:
            parameter.requires_grad_(True)
