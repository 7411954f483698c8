"""The command line of FedSSG: a classifier's configuration in, the whole chain run, and what it gained told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from fedray.cli.options import JobOptions, parse_job
from fedray.cli.study import carry_out
from fedray.config import ConfigError, ExperimentConfig, GateConfig, load_config, override
from fedray.results import Place, new_place
from fedray.studies.fedssg import fedssg_study
from fedray.studies.run import checked_out, saved_study

_USUAL = {"federation.local_steps": 20}
"""Of a classifier of which nothing is said: with and without synthetic tiles it takes as many."""


class FedssgOptions(JobOptions):
    """Options of the job; those of an experiment are the classifier's."""

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with the classifier's configuration; other options override it."""
    maker: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with the configuration of what makes the tiles, of task flow or gan (a sweep's best.yaml, for example),
    trained by the same clients on the same tiles; unset: flow matching with its defaults."""
    per_label: int = Field(300, ge=1)
    """Synthetic tiles of each label, >= 1, spread evenly over the domains: what the server has to hand out."""
    gate: bool = True
    """Judge every pair of a label and a domain before anything is handed out, and leave out what fails; --no-gate hands
    out all."""
    limits: GateConfig = GateConfig()
    seeds: tuple[int, ...] = ()
    """Seeds, of which every one is a chain of its own; two or more give intervals. Unset: --seed alone."""
    max_concurrent: int | None = Field(None, ge=1)
    """Steps at a time at the most, >= 1; unset: as many as the cluster has room for."""


def fedssg(argv: Sequence[str], description: str) -> int:
    """Run FedSSG.

    Args:
        argv: Command line without the program.
        description: First paragraph of ``--help``.

    Returns:
        The exit status: 1 where a step failed.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_job(FedssgOptions, argv, "config", _classifier, description)
    if options.resume is not None:
        place = Place.at(checked_out(options.resume))
        return carry_out(saved_study(place), place, options.max_concurrent, dry_run=options.dry_run)
    if not options.gate and options.limits != GateConfig():
        raise ConfigError("--limits are those of the gate, but --no-gate leaves it out; leave one of them out")
    asked = fedssg_study(
        options.experiment,
        _maker(options.maker),
        per_label=options.per_label,
        gate=options.limits if options.gate else None,
        seeds=options.seeds or (options.experiment.seed,),
    )
    place = Place.at(checked_out(options.out or new_place(asked.name)))
    return carry_out(asked, place, options.max_concurrent, dry_run=options.dry_run)


def _classifier(path: Path | None) -> ExperimentConfig:
    """Read the classifier's configuration; where nothing is said, tiles are handed out to each client's rare labels."""
    base = load_config(path) if path else override(ExperimentConfig(), {"task": "classification", **_USUAL}, "-")
    if base.task != "classification":
        raise ConfigError(f"--config is the classifier's, but {path} has the task {base.task!r}; give it to --maker")
    if base.federation.mode == "federated":
        # Which store is handed out is known later; "both" cannot stand without one.
        changes = {"federation.mode": "fedssg", "classification.tiles": "both", "classification.synthetic": "-"}
        return override(base, changes, "jobs/fedssg.py")
    return base


def _maker(path: Path | None) -> ExperimentConfig:
    return ExperimentConfig(task="flow") if path is None else load_config(path)
