"""What is signed and what is refused; the signature is the one that openssl makes."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from fedray.sweep.signature import SignatureError, signed, unsigned, verified

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("FEDRAY_SIGNING_KEY", KEY)


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home without a key, and none in the environment."""
    monkeypatch.delenv("FEDRAY_SIGNING_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_it_comes_back_as_it_was():
    for content in (b"", b"a", bytes(range(256)) * 999, signed(b"again")):
        assert verified(signed(content), "out") == content == unsigned(signed(content))
    assert unsigned(b"PK never signed") == b"PK never signed"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_signature_is_openssls():
    content = b"a state\nof some lines"
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", KEY], input=content, capture_output=True, check=True
    )  # of the test: a key on a command line
    assert signed(content).split(b"\n")[0].split()[1] == done.stdout.split()[-1]


def test_whatever_was_changed_is_refused():
    whole = signed(b"a state")
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        with pytest.raises(SignatureError, match=r"of the sweep in s3://x/out .* --trust"):
            verified(bytes(changed), "s3://x/out")
    for cut in range(len(whole)):
        with pytest.raises(SignatureError):
            verified(whole[:cut], "out")
    with pytest.raises(SignatureError, match="was signed with another key than yours, or changed since"):
        verified(whole + b"\0", "out")
    with pytest.raises(SignatureError, match="is not signed"):
        verified(b"PK\3\4 an archive of before", "out")


def test_another_key_is_another_signature(monkeypatch):
    whole = signed(b"a state")
    monkeypatch.setenv("FEDRAY_SIGNING_KEY", KEY.upper())
    with pytest.raises(SignatureError, match="another key"):
        verified(whole, "out")


def test_a_key_is_made_once_for_this_user_alone(home):
    whole = signed(b"a state")
    path = home / ".fedray" / "signing-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_text().strip()) == 64 and list(path.parent.iterdir()) == [path]
    assert verified(whole, "out") == b"a state"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.chmod(0o640), r"open to other users \(mode 640\).* chmod 600"),
        (
            lambda path: path.write_text("short"),
            r"signing-key must have at least 32 characters, but has 5: make one by",
        ),
        (lambda path: path.write_bytes(b"\xff" * 64), "no ASCII"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read or made .*: make one by `openssl rand -hex 32`"),
    ],
)
def test_a_key_that_is_not_as_it_must_be_is_refused(home, spoil, problem):
    signed(b"")
    spoil(home / ".fedray" / "signing-key")
    with pytest.raises(SignatureError, match=problem):
        signed(b"a state")


def test_a_home_that_takes_no_key_is_named(home):
    Path(home / ".fedray").write_text("a file in the folder's place")
    with pytest.raises(SignatureError, match=r"cannot be read or made .* FEDRAY_SIGNING_KEY"):
        signed(b"a state")


def test_a_short_key_is_refused(monkeypatch):
    monkeypatch.setenv("FEDRAY_SIGNING_KEY", "hunter2")
    with pytest.raises(
        SignatureError, match="FEDRAY_SIGNING_KEY must have at least 32 characters, but has 7"
    ) as refused:
        signed(b"a state")
    assert "hunter2" not in str(refused.value)
