"""Keys of a trial, held against OpenSSL and ssh-keygen."""

import shutil
import ssl
import stat
import subprocess

import pytest

from fedray.deployment.control import site_keys
from fedray.deployment.keys import KeysError, SiteCard, make_trial


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial") / "keys"
    make_trial(folder, ["mitte", "nord"], ["fed.example", "10.1.2.3"], days=2)
    return folder


def test_openssl_accepts_the_servers_certificate_for_its_hosts_alone(trial):
    server = trial / "server"
    for host in (["-verify_hostname", "fed.example"], ["-verify_ip", "10.1.2.3"], ["-verify_ip", "127.0.0.1"]):
        verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", server / "ca.crt", *host]
        done = subprocess.run([*verify, server / "server.crt"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    verify[-2:] = ["-verify_hostname", "other.example"]
    assert subprocess.run([*verify, server / "server.crt"], capture_output=True, check=False).returncode != 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server / "server.crt", server / "server.key")  # one is the other's


def test_a_site_has_its_key_and_the_server_its_public_half(trial):
    assert set(site_keys(trial / "server")) == {"mitte", "nord"}
    for number, name in enumerate(("mitte", "nord")):
        folder = trial / "sites" / name
        assert SiteCard.read(folder) == (name, number)
        public = (trial / "server" / "sites" / f"{name}.pub").read_text()
        assert public == (folder / "site.pub").read_text()
        if shutil.which("ssh-keygen"):
            told = subprocess.run(
                ["ssh-keygen", "-y", "-f", folder / "site.key"], capture_output=True, text=True, check=True
            )
            assert told.stdout.strip() == public.strip()
    secrets = [*trial.rglob("*.key")]
    assert len(secrets) == 4 and {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_site_that_comes_later_leaves_the_others_as_they_are(tmp_path):
    make_trial(tmp_path / "keys", ["b", "a"], [], days=1)
    before = {path: path.read_bytes() for path in (tmp_path / "keys").rglob("*") if path.is_file()}
    make_trial(tmp_path / "keys", ["c", "a"], ["later.example"], days=1)
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"server.key", "server.crt"}
    assert SiteCard.read(tmp_path / "keys" / "sites" / "c").number == 2


@pytest.mark.parametrize(
    ("sites", "problem"), [(["Mitte"], "small letters"), (["../x"], "small letters"), (["a", "a"], "'a' stands twice")]
)
def test_names_that_are_none_leave_nothing(tmp_path, sites, problem):
    with pytest.raises(KeysError, match=problem):
        make_trial(tmp_path / "keys", sites, [], days=1)
    assert not (tmp_path / "keys").exists()


def test_what_is_no_key_is_named(tmp_path):
    (tmp_path / "sites").mkdir()
    with pytest.raises(KeysError, match="there is no site's public key"):
        site_keys(tmp_path)
    (tmp_path / "sites" / "nord.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8f nobody")
    with pytest.raises(KeysError, match=r"nord.pub is no public key of a site"):
        site_keys(tmp_path)


@pytest.mark.parametrize(
    "text", ["name: a", "- a", "name: a\nnumber: -1", "name: a\nnumber: one", "name: A\nnumber: 0"]
)
def test_a_card_that_does_not_say_both_is_refused(tmp_path, text):
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(KeysError):
        SiteCard.read(tmp_path)
