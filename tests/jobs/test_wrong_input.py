"""What both jobs refuse: one clear message, status 2, nothing written, before anything starts."""

import socket
from functools import partial

import pytest
import torch

import fedray.tracking.check
from fedray.tracking import check_tracking


@pytest.fixture(params=["train_gan", "sweep_wgan"])
def job(request, write_config, write_space):
    """A job with a small valid base; what a test adds is all that is wrong."""
    run = request.getfixturevalue(request.param)
    base = ("--config", write_config()) if request.param == "train_gan" else ("--space", write_space())
    return partial(run, *base)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--gan.latent-dm", 8], ["Unrecognized options: --gan.latent-dm", "--gan.latent-dim INT"]),
        (["--gan.latent-dim", "many"], ["--gan.latent-dim", "'many'", "1 to 4096"]),
        (["--partition.scheme", "random"], ["'random'", "--partition.scheme", "majority-label"]),
        (["--gan.latent-dim", 0], ["1 problem in the command line", "gan.latent_dim: ", "equal to 1, but got 0"]),
        (["--gan.dropout", 1.0, "--federation.client-fraction", 7], [
            "error: 2 problems in the command line", "gan.dropout: input should be less than 1, but got 1.0",
            "federation.client_fraction: input should be less than or equal to 1, but got 7.0",
        ]),
        (["--federation.mode", "centralised", "--federation.aggregate", "generator"], ["federation.aggregate must be"]),
        (["--gan.gradient-penalty", "nan"], ["gan.gradient_penalty: ", "finite number, but got nan"]),
    ],
)  # fmt: skip
def test_a_wrong_option(job, refused, argv, expected):
    message = refused(job, *argv)
    for part in expected:
        assert part in message
    assert "pydantic" not in message


def test_a_store_that_is_not_there(job, refused):
    message = refused(job, "--data", "nowhere")
    assert "there is no 'nowhere'" in message and "jobs/prepare_data.py makes a store" in message


def test_a_misspelt_data_set(job, refused):
    message = refused(job, "--data", "colom")
    assert "there is no 'colom'" in message and "did you mean 'colon'?" in message


def test_a_folder_that_is_no_store(job, refused, tmp_path):
    message = refused(job, "--data", tmp_path)
    assert f"{tmp_path} is not a tile store" in message and "jobs/prepare_data.py" in message


def test_a_store_of_another_version(job, refused, store_of_another_version):
    message = refused(job, "--data", store_of_another_version)
    assert f"{store_of_another_version} has format version 99, but this FedRay reads the versions" in message


def test_more_clients_than_tiles(job, refused):
    message = refused(job, "--federation.num-clients", 21)
    assert "num_clients must be from 1 to the number of training tiles, 20 in 'small', but got 21" in message
    assert "lower federation.num_clients" in message


def test_a_partition_by_domain_of_one_domain(job, refused):
    message = refused(job, "--partition.scheme", "domain")
    assert "'domain' needs at least 2 domains" in message and "got 1 domains and 2 clients" in message
    assert "choose another partition.scheme, or change data.num_domains" in message


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--resources.num-workers", 1000], [
            "needs 1000 x (1 CPUs, 0 GPUs)", "never run more than 4 such workers: it has 4 CPUs",
            "lower resources.num_workers to 4 or less",
        ]),
        (["--resources.cpus-per-worker", 5], [
            "x (5 CPUs, 0 GPUs)", "largest node: 4 CPUs", "lower resources.cpus_per_worker to 4 or less",
        ]),
        pytest.param(["--resources.device", "cuda"], [
            "x (1 CPUs, 0.5 GPUs)", "it has 4 CPUs and 0 GPUs", "set resources.device to cpu",
        ], marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("ray_session")
def test_more_than_the_cluster_can_ever_have(job, refused, argv, expected):
    for more in ((), ("--dry-run",)):
        message = refused(job, *argv, *more)
        for part in expected:
            assert part in message


@pytest.mark.usefixtures("ray_session")
def test_a_tracking_server_that_does_not_answer(job, refused, monkeypatch):
    monkeypatch.setattr(fedray.tracking.check, "check_tracking", partial(check_tracking, timeout_s=1.0))
    with socket.socket() as closed:  # bound, so that nobody else takes the port, but not listening
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        message = refused(job, "--out", "results")
    assert f"the tracking address {address} refuses connections" in message
    assert "MLFLOW_TRACKING_URI" in message


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_an_out_folder_that_cannot_be(job, refused, folder, kind):
    (folder / "notes").write_text("mine")
    out = folder / "notes" if kind == "a file" else folder / "notes" / "run"
    message = refused(job, "--out", out)
    assert f"--out {out} cannot be used: {folder / 'notes'} is no folder" in message


@pytest.mark.parametrize("name", ["results.parquet", "samples.png"])
def test_an_out_folder_with_somebodys_results(job, refused, folder, name):
    (folder / "out").mkdir()
    (folder / "out" / name).write_text("mine")
    message = refused(job, "--out", folder / "out")
    assert f"{folder / 'out'} already has a {name}" in message and "choose another --out" in message


def test_nothing_to_resume(job, refused, folder, run):
    message = refused(partial(run, name_of(job)), "--resume", folder / "nothing")
    assert f"to continue in {folder / 'nothing'}: there is no such folder" in message
    message = refused(partial(run, name_of(job)), "--resume", folder)
    assert "to continue in" in message and "--resume takes the folder that the stopped" in message


def test_resume_goes_alone(job, refused, folder):
    message = refused(job, "--resume", folder / "run", "--gan.latent-dim", 9)
    assert f"--resume {folder / 'run'} continues with the configuration that was started there" in message
    assert f"cannot be combined with --gan.latent-dim, {job.args[0]}; leave that out" in message


def name_of(job):
    return "train_gan" if job.args[0] == "--config" else "sweep_wgan"
