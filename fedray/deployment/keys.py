"""Keys for a trial: an authority of its own, the server's certificate, and a key for every site.

Each folder goes to whom it is named after, and the authority's key to nobody. For a federation that lasts, certificates
are a real authority's, and every site makes its own key (docs/hospitals.md).
"""

import datetime
import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedray.errors import UserError
from fedray.storage import private_folder, write_whole

AUTHORITY_KEY, AUTHORITY = "authority.key", "ca.crt"
SERVER, SERVER_KEY, SERVER_CERTIFICATE = "server", "server.key", "server.crt"
SITES, SITE_KEY, SITE_PUBLIC_KEY, SITE = "sites", "site.key", "site.pub", "site.yaml"

HERE = ("localhost", "127.0.0.1")
"""Names that every server's certificate has: its own processes call it by them."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CURVE = ec.SECP384R1()  # what Flower asks of a node's key


class KeysError(UserError, ValueError):
    """Keys or certificates are missing, or are not what they must be. The message says which, and the remedy."""


class SiteCard(NamedTuple):
    """What a site is in a federation: the content of its ``site.yaml``."""

    name: str
    number: int
    """Addresses its random draws: of N sites, 0 to N - 1."""

    @classmethod
    def read(cls, folder: Path) -> "SiteCard":
        """Read it from a site's folder.

        Raises:
            KeysError: There is none, or it does not say both.
        """
        path = folder / SITE
        try:
            said = yaml.safe_load(path.read_text())
            card = cls(**said)
        except FileNotFoundError:
            raise KeysError(
                f"there is no {path}; `jobs/site.py keys` makes one for every site of a trial, and says its name and "
                "number"
            ) from None
        except (yaml.YAMLError, TypeError):
            raise KeysError(f"{path} must say name and number of the site, and nothing else") from None
        if not isinstance(card.number, int) or card.number < 0:
            raise KeysError(f"number must be a whole number >= 0, but got {card.number!r} ({path})")
        return card._replace(name=checked_name(str(card.name)))


def checked_name(name: str) -> str:
    """Return the name of a site.

    Raises:
        KeysError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(
            f"the name of a site must be small letters, digits and hyphens, at most 63, but got {name!r}; it names a "
            "folder, and stands in logs"
        )
    return name


def make_trial(folder: Path, sites: Sequence[str], hosts: Sequence[str], days: int) -> None:
    """Make what a trial needs, below one folder; an authority and keys of sites that are there already stay.

    Args:
        folder: Gets ``ca.crt``, ``authority.key``, the server's folder and one for every site.
        sites: Names of the sites; those that are new get the next numbers, in this order.
        hosts: Names and addresses by which sites call the server, beside :data:`HERE`.
        days: How long certificates are valid.

    Raises:
        KeysError: A name is none, or stands twice.
    """
    names = [checked_name(site) for site in sites]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise KeysError(f"every site must have a name of its own, but {twice[0]!r} stands twice")
    private_folder(folder)
    key, certificate = _authority(folder, days)
    _make_server(folder / SERVER, key, certificate, (*HERE, *hosts), days)
    numbers = [SiteCard.read(there).number for there in sorted((folder / SITES).glob("*")) if (there / SITE).exists()]
    first = max(numbers, default=-1) + 1
    new = [name for name in names if not (folder / SITES / name / SITE).exists()]
    for number, name in enumerate(new, start=first):
        _make_site(folder, SiteCard(name, number), certificate)


def _authority(folder: Path, days: int) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Make the trial's authority, or find it again while it lasts."""
    key_file, certificate_file = folder / AUTHORITY_KEY, folder / AUTHORITY
    if key_file.exists() and certificate_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise KeysError(f"{key_file} is not the key of {certificate_file}; make the trial anew in another folder")
        if certificate.not_valid_after_utc <= _now():
            raise KeysError(f"{certificate_file} has expired; make the trial anew in another folder")
        return key, certificate
    key = ec.generate_private_key(_CURVE)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "FedRay trial authority")])
    usage = _usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    certificate = (
        _certificate(name, name, key.public_key(), key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA384())
    )
    _write_secret(key_file, _pem(key))
    write_whole(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def _make_server(
    folder: Path, authority: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, hosts: Sequence[str], days: int
) -> None:
    """Make the server's key and certificate, anew each time: it is for these hosts."""
    private_folder(folder)
    private_folder(folder / SITES)
    key = ec.generate_private_key(_CURVE)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "FedRay server")])
    until = min(days, (issuer.not_valid_after_utc - _now()).days + 1)
    certificate = (
        _certificate(name, issuer.subject, key.public_key(), authority.public_key(), until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_cert_sign=False, crl_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(hosts)]), critical=False)
        .sign(authority, hashes.SHA384())
    )
    _write_secret(folder / SERVER_KEY, _pem(key))
    write_whole(folder / SERVER_CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    write_whole(folder / AUTHORITY, issuer.public_bytes(serialization.Encoding.PEM))


def _make_site(trial: Path, card: SiteCard, issuer: x509.Certificate) -> None:
    """Make a site's key; the server gets the public half under the site's name."""
    folder = trial / SITES / card.name
    private_folder(folder)
    key = ec.generate_private_key(_CURVE)
    openssh = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write_secret(folder / SITE_KEY, key.private_bytes(*openssh))
    write_whole(folder / SITE_PUBLIC_KEY, public)
    write_whole(folder / AUTHORITY, issuer.public_bytes(serialization.Encoding.PEM))
    write_whole(trial / SERVER / SITES / f"{card.name}.pub", public)
    write_whole(folder / SITE, yaml.safe_dump(card._asdict(), sort_keys=False).encode())  # last: the folder is whole


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(hours=1))  # clocks of sites differ
        .not_valid_after(_now() + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(digital_signature: bool, key_cert_sign: bool, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read, from its first byte on."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    partial.replace(path)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
