"""MD-GAN against a few lines of plain PyTorch."""

import numpy as np
import pytest
import torch

from fedray.data import LabelledTiles, TileShape, partitioned_store
from fedray.federation import shared_arrays
from fedray.federation.messages import from_record
from fedray.federation.rounds.md_gan import next_owners, real_like
from fedray.learning import Condition
from fedray.randomness import derive_seed
from fedray.tasks.gan import OBJECTIVES, Gan, Optimizers
from tests.support.federation import assert_close, first_state, run, run_interrupted

MD_GAN = {"federation__mode": "md-gan", "federation__num_clients": 3, "federation__local_steps": 2, "gan__n_critic": 2}


def discriminators(grid):
    return [from_record(context.state.array_records["private-parts"]) for context in grid.contexts.values()]


@pytest.mark.parametrize("objective", ["wgan-gp", "acgan", "cgan-hinge"])
def test_the_generators_step_is_that_of_the_mean_loss_over_the_clients(objective, small_config):
    config = small_config(**MD_GAN, gan__objective=objective, federation__num_rounds=1, federation__swap_every=0)
    start = first_state(config)
    state, _, grid = run(config)
    plain = Gan(config.gan, TileShape(16, 3, 2), config.seed)
    plain.load(shared_arrays(start))
    plain.generator.train()
    random = torch.Generator().manual_seed(derive_seed(config.seed, "md-gan", 1))
    loss = 0.0
    for weights in discriminators(grid):
        size = config.gan.batch_size
        labels, domains = (torch.randint(choices, (size,), generator=random) for choices in (2, 1))
        condition = Condition(labels, domains)
        tiles = plain.generator(torch.randn(size, config.gan.latent_dim, generator=random), condition)
        judge = Gan(config.gan, plain.shape, config.seed)
        judge.load(weights)
        judge.discriminator.train()
        if config.gan.recipe.spectral_norm:
            judge.discriminator.eval()  # what the client kept is after its last power iteration
        loss = loss + OBJECTIVES[objective]().generator_losses(judge.discriminator(tiles, condition), condition)["loss"]
    (loss / 3).backward()
    Optimizers(plain).generator.step()
    found = shared_arrays(state)
    names = [f"generator.{name}" for name, _ in plain.generator.named_parameters()]
    expected = plain.arrays()
    assert_close({name: found[name] for name in names}, {name: expected[name] for name in names}, 2e-5)


def test_discriminators_move_on_to_other_clients_and_moments_stay_where_they_are(small_config):
    fields = small_config(**MD_GAN, federation__num_rounds=1)
    stayed, moved = (
        run(fields.model_copy(update={"federation": fields.federation.model_copy(update={"swap_every": every})}))[2]
        for every in (0, 1)
    )
    nodes = list(moved.contexts)
    owners = next_owners(nodes, fields.seed, 1)
    assert sorted(owners) == nodes and all(owner != node for owner, node in zip(owners, nodes, strict=True))
    for node, owner in zip(nodes, owners, strict=True):
        for record, whose in (("private-parts", owner), ("optimizer", node)):
            before, after = stayed.contexts[node].state[record], moved.contexts[whose].state[record]
            assert_close(from_record(before), from_record(after), 0.0)


def test_owners_form_one_cycle():
    for num in (2, 3, 10):
        owners = dict(zip(range(num), next_owners(list(range(num)), 0, 7), strict=True))
        seen, node = [], 0
        for _ in range(num):
            node = owners[node]
            seen.append(node)
        assert sorted(seen) == list(range(num))


def test_clients_train_on_their_own_tiles_of_the_labels_they_were_sent(small_config):
    config = small_config(gan__augment=False)
    client, gan = partitioned_store(config).tiles(0), Gan(config.gan, TileShape(16, 3, 2), 0)
    condition = Condition(torch.tensor([0, 1, 1, 0]), torch.zeros(4, dtype=torch.int64))
    tiles, kept = real_like(client, condition, gan, seed=1)
    assert kept.tolist() == [0, 1, 2, 3]
    bright = tiles.mean((1, 2, 3)) > 0  # tiles labelled 1 are the bright ones
    assert bright.tolist() == [False, True, True, False]
    one_label = client._replace(labels=np.ones_like(client.labels))
    assert real_like(one_label, condition, gan, seed=1)[1].tolist() == [1, 2]
    assert real_like(one_label, condition.chosen(slice(0, 1)), gan, seed=1) is None


def test_a_single_tile_that_matches_is_drawn_with_another_for_batch_norm(small_config):
    config = small_config(**MD_GAN, gan__objective="acgan", gan__discriminator="resnet18", federation__num_rounds=1)
    client, gan = partitioned_store(config).tiles(0), Gan(config.gan, TileShape(16, 3, 2), 0)
    condition = Condition(torch.tensor([0, 1, 0]), torch.zeros(3, dtype=torch.int64))
    bright = client.labels == 1
    tiles, kept = real_like(LabelledTiles(client.tiles[bright], client.labels[bright], 0 * client.labels[bright]),
                            condition, gan, seed=1)  # fmt: skip
    assert kept.tolist() == [1, 1] and len(tiles) == 2
    assert torch.isfinite(gan.discriminator.train()(tiles, condition.chosen(kept)).scores).all()


def test_weights_stay_on_the_server_and_discriminators_with_the_clients(small_config):
    config = small_config(**MD_GAN)
    state, reports, grid = run(config)
    assert {key.split(".")[0] for key in shared_arrays(state)} == {"generator", "generator_ema"}
    assert all({key.split(".")[0] for key in arrays} == {"discriminator"} for arrays in discriminators(grid))
    report = reports[-1]
    assert report.counts["discriminator-steps"] == 3 * 2
    assert report.counts["generator-steps"] == 1  # the server's, though three clients judged it
    assert report.counts["num-examples"] == sum(
        len(partitioned_store(config).tiles(number).tiles) for number in range(3)
    )


def test_a_resumed_run_equals_one_without_interruption(small_config, tmp_path):
    config = small_config(**MD_GAN, federation__num_rounds=3, gan__dropout=0.2)
    whole, reports, _ = run(config)
    again, _, _ = run(config)
    resumed, later, _ = run_interrupted(config, tmp_path, rounds=2)
    assert_close(shared_arrays(whole), shared_arrays(again), 0.0)
    assert_close(shared_arrays(whole), shared_arrays(resumed))
    assert [report.losses for report in later] == [report.losses for report in reports[2:]]
