"""The command line that trains on sites: options in, the run's log out, and the truth about how it ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from fedray.cli.options import JobOptions, parse_job
from fedray.config import ConfigError, ExperimentConfig, load_config, to_yaml
from fedray.deployment.control import Control
from fedray.deployment.submitting import on_sites, submit, with_sites_tiles
from fedray.experiment.run import saved_config
from fedray.results.place import Place, new_place, results_root, resumable
from fedray.storage import is_uri
from fedray.terminal import plain_console
from fedray.tracking import resolve_tracking_uri


class TrainOnSitesOptions(JobOptions):
    """Options of ``train``; those of the experiment are every job's."""

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with the experiment's configuration, of any task; other options override it."""
    keys: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("keys/server")
    """The server's folder of keys."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The server's port on this machine, 1 to 65535."""


def train_on_sites(argv: Sequence[str], description: str) -> None:
    """Run an experiment on the sites of the server that is up on this machine, or go on with one."""
    options = parse_job(TrainOnSitesOptions, argv, "config", _configured, description)
    if options.data is not None:
        raise ConfigError(f"--data {options.data} is of no use here: every site trains on its own store; leave it out")
    out = options.resume or options.out or new_place(options.experiment.family.subject)
    config = saved_config(Place.at(out)) if options.resume else on_sites(options.experiment)
    if options.dry_run:
        print(to_yaml(config), end="")
        return
    place = out if is_uri(out) else str(Path(out).absolute())  # the server works in another folder
    control = Control.of(options.keys, options.port)
    with resumable(Place.at(out)):
        submit(
            config, control, place, resolve_tracking_uri(results_root()), lambda text: print(text, end="", flush=True)
        )
    plain_console().print(f"Results:             {out}/", soft_wrap=True)


def _configured(path: Path | None) -> ExperimentConfig:
    return with_sites_tiles(ExperimentConfig() if path is None else load_config(path))
