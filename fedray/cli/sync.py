"""The command line of the later sync: what MLflow was not told is sent to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import BaseModel, ConfigDict

from fedray.config import ConfigError
from fedray.results import Place, results_root
from fedray.storage import is_uri
from fedray.terminal import plain_console
from fedray.tracking import UNSENT, check_tracking, is_kept, resolve_tracking_uri, send_kept, shown


class SyncOptions(BaseModel):
    """Options of the sync."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    results: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="DIR")]]
    """Results of jobs, of a sweep or study as a whole: folders, or s3:// or gs:// addresses."""


def sync(argv: Sequence[str], description: str) -> int:
    """Send to MLflow what jobs could not send, each thing once, and remove what is sent.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Returns:
        The exit status: 1 where MLflow refused something for good.

    Raises:
        UserError: The message is for the user.
    """
    places = tyro.cli(SyncOptions, args=argv, description=description).results
    if not places:
        raise ConfigError("name the results whose runs MLflow lacks: python jobs/sync.py DIR")
    uri, console, num_refused = resolve_tracking_uri(results_root()), plain_console(), 0
    if missing := [place for place in places if not is_uri(place) and not Path(place).is_dir()]:
        raise ConfigError(f"there is no folder {missing[0]}; name the --out of a job")
    for out in places:
        if not is_kept(address := out if is_uri(out) else str(Path(out).resolve())):
            console.print(f"{out}: MLflow lacks nothing that is kept there", soft_wrap=True)
            continue
        check_tracking(uri)
        with Place.at(out).held():
            result = send_kept(address, uri)
        for told in (*(f"sent: {one}" for one in result.sent), *(f"refused: {one}" for one in result.refused)):
            console.print(told, soft_wrap=True)
        told = f"{out}: {len(result.sent)} sent to {shown(uri)}"
        if result.refused:
            told += f", {len(result.refused)} refused for good; delete {out}/{UNSENT} where that is right"
        console.print(told, soft_wrap=True)
        num_refused += len(result.refused)
    return int(num_refused > 0)
