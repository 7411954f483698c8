"""The command line of the server: serving sites. Whoever only serves does without PyTorch."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict, Field

from fedray.cli.options import parse_options
from fedray.deployment.serving import Server, run_server
from fedray.terminal import plain_console


class ServerOptions(BaseModel):
    """Options of ``run``."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    keys: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("keys/server")
    """The server's folder of keys: server.key, server.crt, ca.crt, and sites/NAME.pub of every site that may connect. A
    site whose file is gone may not, from the next start on."""
    host: str = "127.0.0.1"
    """Address of this machine on which sites are listened for, by TLS; 0.0.0.0 is all of them."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The one port, for sites and for this machine's own commands, 1 to 65535."""
    state: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("server-state")
    """Folder for the SuperLink's files, which may go once it has ended."""
    start_timeout_s: Annotated[float, Field(gt=0.0)] = 120.0
    """Longest that the server may take until it answers, in seconds, > 0."""


def serve(argv: Sequence[str], description: str) -> None:
    """Serve the sites until the process is told to end."""
    options = parse_options(ServerOptions, argv, description)
    console = plain_console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the SuperLink is ended, too
    server = Server(options.keys, options.host, options.port, options.state, options.start_timeout_s)
    run_server(server, lambda line: console.print(line, soft_wrap=True))
