"""Places that nothing can be written to: one line, whatever the job, before anything starts."""

import errno
import os

import pytest

from fedray.cli.options import run_job
from fedray.data import local_store

PLACES = ["{folder}/file", "{folder}/file/below", "/proc/fedray", "/proc", "/dev/null/below"]


@pytest.fixture(params=PLACES)
def place(request, folder):
    (folder / "file").write_text("mine")
    return request.param.format(folder=folder)


@pytest.mark.parametrize("job", ["train_gan", "sweep_wgan"])
def test_a_cache_that_cannot_be(run, refused, place, monkeypatch, job):
    monkeypatch.setenv("FEDRAY_CACHE", place)
    local_store.cache_clear()  # another test may have opened the same store last, from a folder that can be
    message = refused(lambda *arguments: run(job, *arguments), "--data", "colon", "--dry-run")
    assert f"cache folder {place} (" in message and "set FEDRAY_CACHE to a writable folder" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("job", ["train_gan", "sweep_wgan"])
def test_results_that_cannot_be_written(run, refused, place, write_config, write_space, job):
    out = place if place != "/proc" else "/proc/below/it"
    base = ("--config", write_config()) if job == "train_gan" else ("--space", write_space())
    message = refused(lambda *arguments: run(job, *arguments), *base, "--out", out, "--dry-run")
    assert message.startswith(f"error: --out {out} cannot be used: ") and message.count("\n") == 1
    assert message.endswith("choose another --out\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG])
def test_a_disk_that_refuses_in_the_middle_is_one_line(capsys, monkeypatch, number):
    def job(argv):
        raise OSError(number, os.strerror(number), "/data/run/checkpoint/server.safetensors")

    monkeypatch.setattr("sys.argv", ["job"])
    assert run_job(job) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: /data/run/checkpoint/server.safetensors cannot be used: ")
    assert os.strerror(number).lower() in said and "--resume" in said and said.count("\n") == 1


def test_another_error_keeps_its_traceback(monkeypatch):
    def job(argv):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/x")

    monkeypatch.setattr("sys.argv", ["job"])
    with pytest.raises(FileNotFoundError):
        run_job(job)
