"""Put on PYTHONPATH: every Python process writes down whom it wants to reach outside this machine, and does not."""

import ipaddress
import os
import socket
import sys

_connect, _getaddrinfo = socket.socket.connect, socket.getaddrinfo


def _is_here(host):
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("localhost", "localhost.localdomain", socket.gethostname(), "")
    if address.is_loopback or address.is_unspecified:
        return True
    with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))  # works for the addresses of this machine only
        except OSError:
            return False
    return True


def _write_down(what):
    with open(os.environ["WATCHED_LOG"], "a") as log:
        log.write(f"{what} by {' '.join(sys.argv[:2])}\n")
    raise ConnectionRefusedError(f"{what}: this test lets nothing out")


def connect(self, address):
    # A UDP socket that connects sends nothing: so Ray asks for this machine's own address.
    stays = self.family not in (socket.AF_INET, socket.AF_INET6) or self.type == socket.SOCK_DGRAM
    if not stays and not _is_here(address[0]):
        _write_down(f"connect {address[0]}:{address[1]}")
    return _connect(self, address)


def getaddrinfo(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if name is not None and not _is_here(name):
        _write_down(f"look up {name}")
    return _getaddrinfo(host, *args, **kwargs)


socket.socket.connect = connect
socket.getaddrinfo = getaddrinfo
