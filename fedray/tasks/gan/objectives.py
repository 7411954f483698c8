"""Adversarial objectives: what the discriminator and the generator minimise, given what the discriminator says."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from fedray.learning import Condition, Losses
from fedray.tasks.gan.judgements import Conditioning, Judgement


class Objective(ABC):
    """The two losses of a GAN. Each is a dict of scalars whose entry ``loss`` is minimised; the others are reported."""

    conditioning: ClassVar[Conditioning]
    """How its discriminator is told, or has to tell, labels and domains."""
    linear: ClassVar[bool] = False
    """Whether one of its losses is linear in the scores: a mean of them."""
    discriminator_terms: ClassVar[tuple[str, ...]] = ("loss",)
    """Names of the discriminator's losses, ``loss`` first."""
    generator_terms: ClassVar[tuple[str, ...]] = ("loss",)
    """Names of the generator's losses, ``loss`` first."""

    @abstractmethod
    def discriminator_losses(self, real: Judgement, fake: Judgement, condition: Condition) -> Losses:
        """Losses of a discriminator step, from its judgements of real and generated tiles of one condition."""

    @abstractmethod
    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Losses of a generator step, from the discriminator's judgement of its tiles."""


class Wgan(Objective):
    """Wasserstein GAN (Arjovsky et al. 2017); with the gradient penalty it is WGAN-GP (Gulrajani et al. 2017)."""

    conditioning, linear = "multiply", True
    discriminator_terms = ("loss", "wasserstein")

    def discriminator_losses(self, real: Judgement, fake: Judgement, condition: Condition) -> Losses:
        """Minimise E[D(fake)] - E[D(real)]: maximise the Wasserstein estimate."""
        wasserstein = real.scores.mean() - fake.scores.mean()
        return {"loss": -wasserstein, "wasserstein": wasserstein}

    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Minimise -E[D(fake)]: maximise the critic's score of generated tiles."""
        return {"loss": -fake.scores.mean()}


class CGan(Objective):
    """Conditional GAN with the original loss, the binary cross entropy of real and fake (Mirza and Osindero 2014)."""

    conditioning = "multiply"

    def discriminator_losses(self, real: Judgement, fake: Judgement, condition: Condition) -> Losses:
        """Minimise -E[log D(real)] - E[log(1 - D(fake))], D being the sigmoid of the score."""
        return {"loss": functional.softplus(-real.scores).mean() + functional.softplus(fake.scores).mean()}

    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Minimise E[log(1 - D(fake))], which saturates where the discriminator is sure."""
        return {"loss": -functional.softplus(fake.scores).mean()}


class CGanNs(CGan):
    """CGAN with the non-saturating generator loss (Goodfellow et al. 2014, section 3)."""

    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Minimise -E[log D(fake)]."""
        return {"loss": functional.softplus(-fake.scores).mean()}


class CGanHinge(Objective):
    """Projection discriminator with the hinge loss (Miyato and Koyama 2018)."""

    conditioning, linear = "projection", True

    def discriminator_losses(self, real: Judgement, fake: Judgement, condition: Condition) -> Losses:
        """Minimise E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))]."""
        return {"loss": functional.relu(1 - real.scores).mean() + functional.relu(1 + fake.scores).mean()}

    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Minimise -E[D(fake)]."""
        return {"loss": -fake.scores.mean()}


class AcGan(Objective):
    """Auxiliary classifier GAN (Odena et al. 2017): the discriminator tells real from fake, and the label of both."""

    conditioning = "classifier"
    discriminator_terms = generator_terms = ("loss", "source", "label")

    def discriminator_losses(self, real: Judgement, fake: Judgement, condition: Condition) -> Losses:
        """Maximise L_source + L_class, the log likelihoods of source and condition."""
        source = functional.softplus(-real.scores).mean() + functional.softplus(fake.scores).mean()
        label = _classification(real, condition) + _classification(fake, condition)
        return {"loss": source + label, "source": source, "label": label}

    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Maximise L_class - L_source."""
        return self._generator_losses(-functional.softplus(fake.scores).mean(), fake, condition)

    @staticmethod
    def _generator_losses(source: Tensor, fake: Judgement, condition: Condition) -> Losses:
        label = _classification(fake, condition)
        return {"loss": source + label, "source": source, "label": label}


class AcGanNs(AcGan):
    """ACGAN with the non-saturating generator loss."""

    def generator_losses(self, fake: Judgement, condition: Condition) -> Losses:
        """Maximise L_class and the log likelihood that generated tiles are taken for real."""
        return self._generator_losses(functional.softplus(-fake.scores).mean(), fake, condition)


def _classification(judgement: Judgement, condition: Condition) -> Tensor:
    """Cross entropy of the label, and of the domain where there are several."""
    assert judgement.label_logits is not None, "a 'classifier' has label logits"
    loss = functional.cross_entropy(judgement.label_logits, condition.labels)
    if judgement.domain_logits is not None:
        loss = loss + functional.cross_entropy(judgement.domain_logits, condition.domains)
    return loss


OBJECTIVES: dict[str, type[Objective]] = {
    "wgan-gp": Wgan,
    "acgan": AcGan,
    "acgan-ns": AcGanNs,
    "cgan": CGan,
    "cgan-ns": CGanNs,
    "cgan-hinge": CGanHinge,
}
