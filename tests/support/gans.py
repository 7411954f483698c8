"""What every generator, discriminator and objective must do, with each other."""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fedray.config import GanConfig
from fedray.data import TileShape
from fedray.learning import Arrays, Condition, Hook, PassReport
from fedray.tasks.gan import OBJECTIVES, Gan, GanSteps, Optimizers, local_pass
from fedray.testing import Suite, noise_tiles

SHAPE = TileShape(size=32, channels=3, num_labels=2, num_domains=2)


class GanSuite(Suite):
    """Tests of the networks and the objective of a section ``gan`` of the configuration, given as ``config``.

    Its pass should be short: ``n_critic`` 1, and few channels.
    """

    given = ("config",)

    def test_losses_are_finite_and_named(self, config: GanConfig) -> None:
        """As the objective's terms say: all clients must report the same names."""
        gan, _, _, _, report = _passed(config)
        steps = GanSteps(gan, Optimizers(gan), torch.Generator())
        named = {f"{network}/{term}" for network in steps.terms for term in steps.terms[network]}
        assert set(report.losses) == named, f"losses must be named {sorted(named)}, but are {sorted(report.losses)}"
        broken = {name: value for name, value in report.losses.items() if not np.isfinite(value)}
        assert not broken, f"losses must be finite, but {broken} are not"

    def test_the_first_term_is_minimised_and_all_are_scalars(self, config: GanConfig) -> None:
        """Each step's losses are exactly the terms that are announced, ``loss`` first, and it has a gradient."""
        _check_terms(_passed(config).gan)

    def test_gradients_reach_every_trained_parameter(self, config: GanConfig) -> None:
        """Of both networks; a layer without one would never learn."""
        for name, gradients in _passed(config).seen.items():
            missing = [key for key, value in gradients.items() if value is None or not value.isfinite().all()]
            assert not missing, f"no finite gradient reaches {missing[:3]} of the {name}"
            assert any(value is not None and value.abs().sum() > 0 for value in gradients.values()), (
                f"all gradients of the {name} are zero: its loss does not depend on it"
            )

    def test_both_networks_moved_and_stayed_finite(self, config: GanConfig) -> None:
        """And so did the generator's moving average."""
        gan, _, before, _, _ = _passed(config)
        after = gan.arrays()
        for part in ("generator", "discriminator", "generator_ema"):
            moved = any(not np.array_equal(before[key], after[key]) for key in before if key.startswith(f"{part}."))
            assert moved, f"a step of each network did not move the {part}"
        broken = [name for name, value in after.items() if not np.isfinite(value).all()]
        assert not broken, f"after a step of each network {broken[:3]} is not finite"

    def test_judgements_have_the_heads_of_the_objective(self, config: GanConfig) -> None:
        """A score for every tile; logits of labels and domains where the objective has to tell them, and only there."""
        gan, condition = _passed(config).gan, _condition()
        with torch.no_grad():
            judged = gan.discriminator(_generated(gan, condition), condition)
        assert judged.scores.shape[0] == 3, f"3 tiles must have 3 rows of scores, but have {tuple(judged.scores.shape)}"
        classifies, shape = OBJECTIVES[config.objective].conditioning == "classifier", gan.shape
        for what, logits, num in (
            ("label", judged.label_logits, shape.num_labels), ("domain", judged.domain_logits, shape.num_domains),
        ):  # fmt: skip
            wanted = (3, num) if classifies and (what == "label" or num > 1) else None
            found = None if logits is None else tuple(logits.shape)
            assert found == wanted, f"{what}_logits of objective {config.objective!r} must be {wanted}, but are {found}"

    def test_tiles_are_pixels_that_follow_noise_and_label(self, config: GanConfig) -> None:
        """float32 in [-1, 1] while training, uint8 as samples; the same noise and label give the same tile."""
        gan, condition = _passed(config).gan, _condition()
        with torch.no_grad():
            tiles = _generated(gan, condition)
        wanted = (3, SHAPE.channels, SHAPE.size, SHAPE.size)
        assert tiles.shape == wanted, f"3 tiles of {SHAPE.size} px must be {wanted}, but are {tuple(tiles.shape)}"
        assert tiles.abs().max() <= 1, f"tiles must be in [-1, 1], but reach {float(tiles.abs().max()):.3g}"
        labels = np.array([0, 1, 1])

        def drawn(labels: Any, seed: int, **batch: int) -> Any:
            return gan.sample(labels, torch.Generator().manual_seed(seed), np.zeros(3, np.int64), **batch)

        first = drawn(labels, 0)
        assert first.shape == (3, SHAPE.size, SHAPE.size, SHAPE.channels) and first.dtype == np.uint8
        alone = drawn(labels, 0, batch_size=1).astype(int)
        assert np.abs(alone - first).max() <= 1, "a tile must not depend on the others of its batch"
        assert not np.array_equal(drawn(labels, 1), first), "other noise must give other tiles"
        assert not np.array_equal(drawn(1 - labels, 0), first), "another label must give another tile"

    def test_a_checkpoint_goes_on_to_the_same_arrays(self, config: GanConfig) -> None:
        """Arrays and moments of optimisers are all that a pass goes on from; the same seed draws the same."""
        gan, optimizers, *_ = _passed(config)
        resumed = Gan(config, SHAPE, seed=9)
        resumed.load(gan.arrays())
        moments = Optimizers(resumed)
        moments.load(optimizers.arrays())
        for either, state in ((gan, optimizers), (resumed, moments)):
            local_pass(either, state, _tiles(), num_steps=1, steps_before=1, seed=1)
        expected = gan.arrays()
        for name, value in resumed.arrays().items():
            assert np.allclose(value, expected[name], rtol=1e-6, atol=1e-6), (
                f"a pass from a checkpoint must give what it would have given, but {name} differs: what else than "
                "arrays does a network remember, or draw from a global stream?"
            )


class Passed(NamedTuple):
    """A GAN after a step of each network."""

    gan: Gan
    optimizers: Optimizers
    before: Arrays
    seen: dict[str, dict[str, Tensor | None]]
    """Gradients of each network, by the names of its parameters."""
    report: PassReport


class _Seen(Hook):
    """Keeps the gradients of each network's step."""

    def __init__(self, seen: dict[str, dict[str, Tensor | None]]) -> None:
        self._seen = seen

    def gradient(self, name: str, network: nn.Module) -> None:
        self._seen[name] = {key: value.grad for key, value in network.named_parameters() if value.requires_grad}


@functools.lru_cache(maxsize=1)  # one at a time: large ones have 86 M parameters
def _passed(config: GanConfig) -> Passed:
    gan, seen = Gan(config, SHAPE, seed=0), dict[str, dict[str, Tensor | None]]()
    _check_terms(gan)  # first: a pass with other terms ends in the middle
    before, optimizers = gan.arrays(), Optimizers(gan)
    report = local_pass(gan, optimizers, _tiles(), num_steps=1, steps_before=0, seed=0, hooks=[_Seen(seen)])
    return Passed(gan, optimizers, before, seen, report)


def _check_terms(gan: Gan) -> None:
    objective, condition = OBJECTIVES[gan.config.objective](), _condition()
    with torch.no_grad():
        fake = _generated(gan, condition)
    judged = gan.discriminator(fake.requires_grad_(), condition)
    for which, terms, losses in (
        ("discriminator", objective.discriminator_terms, objective.discriminator_losses(judged, judged, condition)),
        ("generator", objective.generator_terms, objective.generator_losses(judged, condition)),
    ):
        assert terms[0] == "loss", f"{which}_terms must begin with 'loss', which is minimised, but is {terms}"
        assert set(losses) == set(terms), (
            f"{which}_losses must return {sorted(terms)} as {which}_terms says, but returned {sorted(losses)}"
        )
        shapes = {name: tuple(value.shape) for name, value in losses.items() if value.dim()}
        assert not shapes, f"{which}_losses must be scalars, means over tiles, but have shapes {shapes}"


def _tiles() -> Any:
    return noise_tiles(6, SHAPE)


def _condition() -> Condition:
    return Condition(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 1]))


def _generated(gan: Gan, condition: Condition) -> Tensor:
    return GanSteps(gan, Optimizers(gan), torch.Generator().manual_seed(0)).generate(condition)
