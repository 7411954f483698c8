"""The command lines of a site: keys for a trial, and taking part."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict, Field

from fedray.cli.options import parse_options
from fedray.config import ConfigError
from fedray.deployment.audit import read_log, verified
from fedray.deployment.keys import AUTHORITY_KEY, SERVER, SITES, make_trial
from fedray.deployment.policy import Policy
from fedray.deployment.site import Site, opened, run_site
from fedray.terminal import plain_console


class KeysOptions(BaseModel):
    """Options of ``keys``."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("keys")
    """Folder for all keys; one that is there keeps its authority and its sites' keys, and gets the new ones."""
    sites: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """Names of the sites: small letters, digits and hyphens. Those that are there already stay as they are."""
    host: Annotated[tuple[str, ...], tyro.conf.arg(metavar="HOST")] = ()
    """Names or addresses by which the sites call the server; localhost and 127.0.0.1 are in its certificate anyway."""
    days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How long the certificates are valid, in days, >= 1."""


def make_keys(argv: Sequence[str], description: str) -> None:
    """Make keys and certificates for a trial."""
    options = parse_options(KeysOptions, argv, description)
    if not options.sites and not options.out.exists():
        raise ConfigError("--sites must name at least one site: --sites mitte nord")
    make_trial(options.out, options.sites, options.host, options.days)
    console = plain_console()
    console.print(f"{options.out}/{SERVER}/         for the server alone: its key, and the public keys of the sites")
    for folder in sorted((options.out / SITES).iterdir()):
        console.print(f"{folder}/   for this site alone: its key", soft_wrap=True)
    console.print(f"{options.out}/{AUTHORITY_KEY}   for nobody: whoever has it can pretend to be the server")


class SiteOptions(BaseModel):
    """Options of ``run``."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    keys: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("keys")
    """The site's folder of keys: site.yaml, site.key, and ca.crt, the certificate that the server's is signed by."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="STORE")] = None
    """The site's tile store, made by jobs/prepare_data.py; no other program opens it, and no run can name another."""
    server: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Where the server listens; its certificate must name this host."""
    state: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("site-state")
    """Folder for what the site's client keeps between rounds: its own networks, and moments of its optimisers."""
    log: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("site-log")
    """Folder of the site's log: a line for every message in and out, each with the hash of the one before it."""
    policy: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with the site's rules, such as 'rounds: 100'; a message that breaks one is refused by the rule's name.
    Unset: no rules."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Look at keys and store, say what the site would bring, and start nothing."""


def take_part(argv: Sequence[str], description: str) -> None:
    """Take part in the server's runs until the process is told to end."""
    options = parse_options(SiteOptions, argv, description)
    if options.store is None or options.server is None:
        missing = [name for name in ("store", "server") if getattr(options, name) is None]
        raise ConfigError(f"--{' and --'.join(missing)} must be given: the site's tile store, and the server's address")
    policy = Policy() if options.policy is None else Policy.read(options.policy)
    site = Site(options.keys, options.store, options.server, options.state, options.log, policy)
    card, store = opened(site)
    labels, tiles = ", ".join(store.label_names), len(store.indices("train"))
    console = plain_console()
    console.print(f"site {card.name}: {tiles} training tiles of {store.tile_size} px; labels: {labels}", soft_wrap=True)
    if options.dry_run:
        return
    console.print(f"connecting to {options.server}; Ctrl-C ends it", soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the SuperNode is ended, too
    run_site(site)


class LogOptions(BaseModel):
    """Options of ``log``."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    log: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("site-log")
    """Folder of the site's log."""
    last: Annotated[int, Field(ge=0)] = 20
    """Lines to show, the last ones, >= 0; all of them are looked at."""
    run: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Show the lines of one run alone, by the name that they give it."""


def show_log(argv: Sequence[str], description: str) -> None:
    """Look whether the log is whole, and show its last lines."""
    options = parse_options(LogOptions, argv, description)
    end = verified(options.log)
    lines = [said for said in read_log(options.log) if options.run in (None, said.get("run"))]
    console = plain_console()
    for said in lines[len(lines) - options.last :] if options.last < len(lines) else lines:
        size = sum(record["bytes"] for record in said.get("records", {}).values())
        what = said.get("error") or f"{', '.join(said.get('records', {}))}: {size:,} bytes"
        where = f"round {said['round']}" if said.get("round") else ""
        told = f"{said['time']}  {said['direction']:3}  {said['kind']:16} {where:9} {said['decision']:9} {what}"
        console.print(told, soft_wrap=True)
    console.print(f"whole: {end.lines} line(s); the last one's hash is {end.hash}", soft_wrap=True)
