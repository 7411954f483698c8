from pathlib import Path

import pytest

from fedray.results import Place, new_place, results_root
from fedray.storage import StorageError
from tests.support.storage import Bucket


def test_results_go_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDRAY_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert results_root() == tmp_path
    assert Path(new_place("name")).parent == Path("runs")


def test_the_environment_can_name_another_place(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "shared"))
    assert Path(new_place("name")).parent == tmp_path / "shared" / "runs"
    monkeypatch.setenv("FEDRAY_RESULTS", "s3://bucket/fedray/")
    assert new_place("name").startswith("s3://bucket/fedray/runs/name-")
    assert results_root() == Path.home() / "fedray"


def test_a_ray_job_does_not_leave_its_results_in_rays_copy_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDRAY_RESULTS", raising=False)
    copy = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert results_root() == Path.home() / "fedray"


def test_a_place_on_shared_storage_is_found_again_from_another_machine(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{bucket.uri}/runs/first"
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "head"))
    place = Place.at(uri)
    assert (str(place), place.state) == (uri, f"{uri}/tune")
    checkpoint = place.folder / "checkpoint" / "round-00001"
    checkpoint.mkdir(parents=True)
    for name in ("state.json", "server.safetensors"):
        (checkpoint / name).write_text(name)
    (place.folder / "config.yaml").write_text("seed: 1")
    place.push()
    assert bucket.names() == {
        f"runs/first/{name}"
        for name in ("checkpoint/round-00001/state.json", "checkpoint/round-00001/server.safetensors", "config.yaml")
    }

    checkpoint.rename(checkpoint.with_name("round-00002"))
    place.push()
    assert {name for name in bucket.names() if "round" in name} == {
        "runs/first/checkpoint/round-00002/state.json",
        "runs/first/checkpoint/round-00002/server.safetensors",
    }

    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path / "another head"))
    again = Place.at(uri)
    assert again.folder != place.folder
    assert (again.folder / "config.yaml").read_text() == "seed: 1"
    assert (again.folder / "checkpoint" / "round-00002" / "state.json").read_text() == "state.json"
    sent = bucket.count_writes()
    again.push()
    assert bucket.count_writes() == sent, "nothing has changed"


def test_what_says_that_a_checkpoint_is_whole_is_sent_last(bucket: Bucket, tmp_path: Path) -> None:
    place = Place(tmp_path, Place.at(f"{bucket.uri}/runs/second").shared)
    for name in ("a.json", "z.safetensors", "m.yaml"):
        (tmp_path / name).write_text(name)
    place.push()
    assert [line.rpartition("/")[2] for line in bucket.writes()] == ["m.yaml", "z.safetensors", "a.json"]


def test_a_folder_stays_a_folder(tmp_path: Path) -> None:
    place = Place.at(tmp_path / "out")
    place.push()
    assert (place.folder, place.shared, str(place)) == (tmp_path / "out", None, str(tmp_path / "out"))
    assert Place.at(place) is place
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(StorageError, match="ftp://host/runs is no address of shared storage"):
        Place.at("ftp://host/runs")


def test_two_addresses_never_share_a_copy(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy of an address is made anew when it is opened: another's would be gone."""
    monkeypatch.setenv("FEDRAY_RESULTS", str(tmp_path))
    names = ["a-b", "a+b", "a/b", "a=b", "x" * 200 + "1", "x" * 200 + "2"]
    folders = {Place.at(f"{bucket.uri}/{name}").folder for name in names}
    assert len(folders) == len(names)
