"""The same GAN steps as anybody would write them in PyTorch: the peer of :class:`fedray.tasks.gan.GanSteps`.

Networks, losses and draws are the same; there are no options, no hooks, no reports.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from fedray.learning import Condition
from fedray.tasks.gan import Gan

Step = Callable[[Tensor, Condition], None]


def plain_step(gan: Gan) -> Step:
    """Return a function that trains both networks for one step on real tiles [N, C, H, W] float32 in [-1, 1]."""
    recipe, objective = gan.config.recipe, gan.config.objective
    betas = (recipe.beta1, recipe.beta2)
    d_optimizer = torch.optim.Adam(gan.discriminator.parameters(), recipe.discriminator_lr, betas)
    g_optimizer = torch.optim.Adam(gan.generator.parameters(), recipe.generator_lr, betas)

    def generate(condition: Condition) -> Tensor:
        noise = torch.randn(len(condition.labels), gan.noise_length, device=gan.device)
        tiles: Tensor = gan.generator(noise, condition)
        return tiles

    def step(real: Tensor, condition: Condition) -> None:
        d_optimizer.zero_grad()
        fake = generate(condition).detach()
        judged_real, judged_fake = gan.discriminator(real, condition), gan.discriminator(fake, condition)
        loss = discriminator_loss(objective, judged_real, judged_fake, condition)
        if recipe.penalty == "gradient":
            mix = torch.rand(len(real), 1, 1, 1, device=gan.device)
            between = (mix * real + (1 - mix) * fake).requires_grad_()
            scores = gan.discriminator(between, condition).scores
            (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
            loss = loss + recipe.gradient_penalty * ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        d_optimizer.step()

        g_optimizer.zero_grad()
        judged = gan.discriminator(generate(condition), condition)
        generator_loss(objective, judged, condition).backward()  # type: ignore[no-untyped-call]
        g_optimizer.step()
        with torch.no_grad():
            for average, value in zip(gan.generator_ema.parameters(), gan.generator.parameters(), strict=True):
                average.mul_(gan.config.ema_decay).add_(value, alpha=1 - gan.config.ema_decay)

    return step


def discriminator_loss(objective: str, real, fake, condition: Condition) -> Tensor:  # type: ignore[no-untyped-def]
    """Return the discriminator's loss without penalty."""
    if objective == "wgan-gp":
        return fake.scores.mean() - real.scores.mean()
    if objective == "cgan-hinge":
        return functional.relu(1 - real.scores).mean() + functional.relu(1 + fake.scores).mean()
    ones, zeros = torch.ones_like(real.scores), torch.zeros_like(fake.scores)
    loss = functional.binary_cross_entropy_with_logits(real.scores, ones)
    loss = loss + functional.binary_cross_entropy_with_logits(fake.scores, zeros)
    if real.label_logits is not None:
        loss = loss + functional.cross_entropy(real.label_logits, condition.labels)
        loss = loss + functional.cross_entropy(fake.label_logits, condition.labels)
    return loss


def generator_loss(objective: str, fake, condition: Condition) -> Tensor:  # type: ignore[no-untyped-def]
    """Return the generator's loss, the non-saturating one of the cross-entropy objectives."""
    if objective in ("wgan-gp", "cgan-hinge"):
        return -fake.scores.mean()
    loss = functional.binary_cross_entropy_with_logits(fake.scores, torch.ones_like(fake.scores))
    if fake.label_logits is not None:
        loss = loss + functional.cross_entropy(fake.label_logits, condition.labels)
    return loss
