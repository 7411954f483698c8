"""One job a folder: refused while its job lives, taken over once that is dead, and never by looking."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fedray.data import StoreError
from fedray.data.writing import partial_directory
from fedray.results import Place, new_place
from fedray.storage import AddressLock, FolderLock, InUseError, SharedFolder
from fedray.storage import lock as lock_module
from fedray.storage.lock import LOCK, Holder

HOLD = """
import sys
from pathlib import Path
from fedray.storage import FolderLock, own_mark
folder = Path(sys.argv[1])
with FolderLock(folder).held():
    (folder / f"table.parquet.{own_mark()}.partial").touch()
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_process(folder: Path):
    """Have another process hold a folder's lock; killed at the end, if it lives still."""
    command = [
        sys.executable,
        "-c",
        HOLD.replace("sys.argv[2]", "__import__('fedray').storage.own_mark()"),
        str(folder),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def write_lock(folder: Path, holder: Holder) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / LOCK).write_bytes(holder.to_bytes())
    return folder / LOCK


ELSEWHERE = Holder(host="node-7", pid=12, mark="0123abcd-12", boot="another")


def test_a_folder_is_one_jobs_until_that_has_ended_or_died(tmp_path, capsys):
    folder = tmp_path / "runs" / "one"
    with another_process(folder) as process:
        holder = json.loads((folder / LOCK).read_text())
        assert holder["pid"] == process.pid
        with pytest.raises(InUseError) as refused, Place.at(folder).held():
            pass
        said = f"{folder} is in use by process {process.pid} on {holder['host']}, since {holder['started']}; wait for"
        assert str(refused.value).startswith(said)
        process.kill()
        process.wait()
        [left] = folder.glob("*.partial")
        with Place.at(folder).held():
            assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
            assert not left.exists(), "what the dead one was writing goes"
    said = capsys.readouterr().err
    assert said.startswith(f"note: {folder} was left by a job that died (process {process.pid} on ")


def test_a_job_that_was_refused_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError), Place.at(tmp_path / "runs" / "one").held():
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_ends_leaves_its_results_and_no_lock(tmp_path, capsys):
    with Place.at(tmp_path / "run").held():
        (tmp_path / "run" / "results").touch()
        with pytest.raises(InUseError, match="is in use by process"), Place.at(tmp_path / "run").held():
            pass
        assert (tmp_path / "run" / LOCK).exists(), "who is refused takes nothing along"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["results"]
    with pytest.raises(KeyboardInterrupt), Place.at(tmp_path / "run").held():
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["results"]
    assert capsys.readouterr().err == ""


def test_a_part_of_a_place_is_held_by_its_job(tmp_path):
    with Place.at(tmp_path).held(), Place(tmp_path / "steps").held():
        assert not (tmp_path / "steps").exists()


@pytest.mark.parametrize("content", [b"", b'{"host": "no', b"{}"])
def test_a_lock_that_was_cut_is_nobodys(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    with FolderLock(tmp_path).held():
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_another_machines_job_is_alive_until_it_was_silent_for_long(tmp_path, capsys):
    """As on NFS: the system's lock says nothing of it, its signs of life do."""
    file = write_lock(tmp_path, ELSEWHERE)
    with pytest.raises(InUseError) as refused, FolderLock(tmp_path).held():
        pass
    assert "in use by process 12 on node-7" in str(refused.value)
    assert "its last sign of life was 0 s ago: should that machine be gone, try again once that is 120 s" in str(
        refused.value
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK]
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 121))
    (tmp_path / "table.0123abcd-12.partial").touch()
    (tmp_path / "table.0123abcd-13.partial").touch()
    with FolderLock(tmp_path).held():
        assert json.loads(file.read_text())["pid"] == os.getpid()
    assert "note: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["table.0123abcd-13.partial"], "of a process that may live"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_of_the_file_system_a_process_of_this_machine_is_looked_for(tmp_path, monkeypatch, number):
    def no_locks(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    write_lock(tmp_path, Holder())
    with pytest.raises(InUseError), FolderLock(tmp_path).held():
        pass
    ended = subprocess.Popen(["true"])
    ended.wait()
    mark = f"{Holder().mark.partition('-')[0]}-{ended.pid}"
    write_lock(tmp_path, Holder(pid=ended.pid, mark=mark))
    with FolderLock(tmp_path).held():
        pass


def test_a_job_that_was_taken_for_dead_writes_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "BEAT_S", 0.01)
    place = Place.at(tmp_path / "run")
    with place.held():
        place.push()
        write_lock(tmp_path / "run", ELSEWHERE)
        deadline = 2000
        with pytest.raises(InUseError, match="was taken over by process 12 on node-7"):
            for _ in range(deadline):
                place.push()
                place.lock._beating.now()
    assert json.loads((tmp_path / "run" / LOCK).read_text()) == asdict(ELSEWHERE), "the other one's stays"


def test_two_that_write_one_store_or_folder_of_pictures(tmp_path):
    with another_process(tmp_path / ".store.partial") as process:
        said = f"another process is writing {tmp_path}/store: .* process {process.pid} "
        with pytest.raises(StoreError, match=said), partial_directory(tmp_path / "store"):
            pass
        process.kill()
        process.wait()
        (tmp_path / ".store.partial" / "half").touch()
        with partial_directory(tmp_path / "store") as partial:
            assert [path.name for path in partial.iterdir()] == [LOCK]
            partial.rename(tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_default_names_of_one_second_differ():
    assert len({new_place("wgan-gp") for _ in range(20)}) == 20


@pytest.fixture
def address(tmp_path):
    """An address whose storage is a folder: with the rules of objects, without a server."""
    return f"file://{tmp_path}/bucket/run"


def test_an_address_is_one_jobs_too(address, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "here"))
    place, other = Place.at(address), Place.at(address)
    with place.held():
        (place.folder / "results").write_text("1")
        place.push()
        with pytest.raises(InUseError, match=f"{address} is in use by process {os.getpid()} on "), other.held():
            pass
        assert SharedFolder(address).names() == [LOCK, "results"]
    assert SharedFolder(address).names() == ["results"]
    with other.held():
        assert (other.folder / "results").read_text() == "1", "what came since it was looked at"
    assert capsys.readouterr().err == ""


def test_an_address_of_a_dead_job_is_taken_over(address, tmp_path, monkeypatch, capsys):
    shared = SharedFolder(address)
    shared.write(LOCK, ELSEWHERE.to_bytes())
    with pytest.raises(InUseError, match="should that machine be gone"), AddressLock(shared).held():
        pass
    assert shared.names() == [LOCK]
    file = tmp_path / "bucket" / "run" / LOCK
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 121))
    lock = AddressLock(shared)
    with lock.held():
        lock.check()
        shared.write(LOCK, replace(ELSEWHERE, token="x").to_bytes())
        with pytest.raises(InUseError, match="was taken over by process 12 on node-7"):
            lock.check()
    assert shared.read(LOCK) == replace(ELSEWHERE, token="x").to_bytes()
    assert "was left by a job that died (process 12 on node-7" in capsys.readouterr().err


def test_who_looks_at_an_address_touches_nothing_of_a_running_job(address, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "here"))
    place = Place.at(address)
    with place.held():
        (place.folder / "checkpoint").mkdir()
        (place.folder / "checkpoint" / "state.json").write_text("1")
        place.push()
        (place.folder / "checkpoint" / "half").write_text("2")
        there = Place.at(address)
        assert (there.folder / "checkpoint" / "state.json").read_text() == "1"
        assert (place.folder / "checkpoint" / "half").read_text() == "2"
        assert SharedFolder(address).names() == ["checkpoint/state.json", LOCK]
