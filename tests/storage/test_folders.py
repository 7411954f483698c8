import resource
import socket
import stat

import pytest

from fedray.storage import SharedFolder, StorageError, private_folder, why_not_writable


def test_a_private_folder_is_its_owners_and_keeps_the_rights_that_it_was_given(tmp_path):
    folder = tmp_path / "above" / "private"
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "plain").mkdir()
    assert folder.parent.stat().st_mode == (tmp_path / "plain").stat().st_mode
    folder.chmod(0o2770)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError):
            private_folder(place)


def test_why_nothing_can_be_written(tmp_path):
    assert why_not_writable(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert why_not_writable(tmp_path / "missing") == "No such file or directory"
    assert why_not_writable("/proc")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        assert why_not_writable(tmp_path) == "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_google_cloud_storage_without_credentials_is_no_silence_of_a_quarter_of_an_hour(tmp_path, monkeypatch):
    """Without a limit pyarrow asks for a token for 15 minutes; here nobody gives one, where a cloud's machines ask."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setattr("fedray.storage.shared._RETRY_S", 1)
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(StorageError, match=r"gs://bucket/x cannot be listed .*GOOGLE_APPLICATION_CREDENTIALS"):
            SharedFolder("gs://bucket/x").names()


def test_only_the_user_that_is_nobody_may_stand_in_an_address():
    assert SharedFolder("gs://anonymous@bucket/x/").uri == "gs://anonymous@bucket/x"
    for address in ("gs://user@bucket/x", "gs://anonymous:secret@bucket/x", "s3://anonymous@bucket/x"):
        with pytest.raises(StorageError, match=r"\*\*\*@bucket/x holds credentials") as raised:
            SharedFolder(address)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "..", ""])
def test_what_is_copied_stays_in_its_folder(tmp_path, name):
    """A bucket may hold objects of any name, and an archive too."""
    shared, here = SharedFolder(f"file://{tmp_path / 'shared' / 'folder'}"), tmp_path / "here" / "folder"
    for folder in (tmp_path / "shared" / "folder", here):
        folder.mkdir(parents=True)
        (folder / "whole").write_bytes(b"1")
        (folder.parent / "escaped").write_bytes(b"2")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for copy in (lambda: shared.download([name], here), lambda: shared.upload(here, [name])):
        with pytest.raises(StorageError, match=r"is called '.*', which leads out of it"):
            copy()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    shared.upload(here, ["whole"])
    (here / "whole").unlink()
    shared.download(["whole"], here)
    assert (here / "whole").read_bytes() == b"1"
