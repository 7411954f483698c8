import resource
import stat

import pytest

from fedray.storage import private_folder, why_not_writable


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
