"""The command line that judges finished runs and tiles from elsewhere: a page, its tables and runs in MLflow."""

from collections.abc import Sequence
from os.path import commonpath, relpath
from pathlib import Path
from shlex import join
from typing import Annotated, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field

from fedray.cli.options import parse_options
from fedray.cli.report import print_unsent, show_self_test
from fedray.cli.score import JudgeOptions, in_full
from fedray.config import ConfigError, DataConfig, EvaluationConfig, ExperimentConfig, ResourcesConfig, TrackingConfig
from fedray.data import local_store
from fedray.data.given import given_tiles
from fedray.evaluation import Evaluator, check_compared, check_extractor
from fedray.experiment.judged import (
    FIGURES,
    PAGE,
    SCORES,
    about,
    check_fits,
    cost_s,
    judge_all,
    log_judgements,
    of_given,
    of_run,
    real_tiles,
    write_judgements,
)
from fedray.experiment.settled import from_store
from fedray.learning import training_device
from fedray.reports.words import headline
from fedray.results.finished import Finished
from fedray.results.place import Place, new_place, results_root
from fedray.storage import why_not_made
from fedray.terminal import clock, plain_console, without_folders
from fedray.tracking import Tracker, check_tracking, resolve_tracking_uri, ui_command


class JudgedOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    run: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN")] = ()
    """What to judge: results folders, their s3:// or gs:// addresses, or ids of MLflow runs (32 hexadecimal digits); of
    a sweep, the best trial. Several stand side by side."""
    tiles: Annotated[tuple[str, ...], tyro.conf.arg(metavar="STORE_OR_FOLDER")] = ()
    """Tiles to judge, from wherever: tile stores, or folders with one folder of pictures (PNG, ...) a label, named as
    the store's labels."""
    tiles_split: Literal["train", "test"] | None = None
    """Which tiles of a store to judge; unset: all of both splits."""
    resize: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Cut tiles of another size square and resize them to the store's; otherwise they are refused."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the page and its tables, or an s3:// or gs:// address; unset: runs/judgement with the time."""
    seed: int = Field(0, ge=0)
    """Of the noise that tiles are made of, and of all that is drawn, >= 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks compute: auto (a GPU where there is one), cpu or cuda."""
    data: DataConfig = DataConfig()
    evaluation: JudgeOptions = JudgeOptions()
    tracking: TrackingConfig = TrackingConfig()


def evaluate(argv: Sequence[str], description: str, program: str) -> None:
    """Judge.

    Args:
        argv: Command line without the program; ``--data STORE`` is short for ``--data.store STORE``, and
            ``--num-samples N`` for ``--evaluation.num-samples N``. Without ``--data`` a run is held against the store
            that it learned from, and judged as it was in its rounds.
        description: First paragraph of ``--help``.
        program: The job, for the command that makes the page again.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(JudgedOptions, [in_full(word) for word in argv], description)
    if not options.run and not options.tiles:
        raise ConfigError("name what is to be judged: --run RUN, or --tiles STORE_OR_FOLDER")
    finished = [Finished.open(place) for place in options.run]
    config = _config(options, finished)
    store = local_store(config.data)
    for run in finished:
        check_fits(run, store)
    check_compared(store, config.evaluation)
    check_extractor(store, config.evaluation)
    out, tracking_uri = Place.at(options.out or new_place("judgement")), resolve_tracking_uri(results_root())
    _check_free(out)
    console, device = plain_console(soft_wrap=True), training_device(ResourcesConfig(device=options.device))
    given = {place: given_tiles(place, store, options.tiles_split, resize=options.resize) for place in options.tiles}
    names = called([*options.run, *given])
    runs, brought = zip(names, finished, strict=False), zip(names[len(finished) :], given.values(), strict=True)
    subjects = [of_run(name, run, config, store, options.seed, device) for name, run in runs]
    subjects += [of_given(name, tiles, config, store, options.seed) for name, tiles in brought]
    check_tracking(tracking_uri)
    evaluator = Evaluator.prepare(store, config.evaluation, device)
    real = real_tiles(store, evaluator)
    cost = clock(cost_s(real, evaluator.num_samples, len(subjects)))
    console.print(
        f"judging {len(subjects)} x {evaluator.num_samples} tiles against {store.name}, which has "
        f"{len(real.training):,} training tiles: about {cost} of one CPU"
    )
    with out.held():
        _check_free(out)
        show_self_test(console, evaluator, out.folder)
        judgements = judge_all(
            subjects, real, evaluator, config, options.seed, lambda what: console.print(f"  {what} ...")
        )
        protocol = about(
            subjects, real, evaluator, config, options.seed, join(["python", program, *without_folders(argv)])
        )
        write_judgements(judgements, protocol, out.folder)
        out.push()
        told = options.tracking
        tracker = Tracker(tracking_uri, told.experiment, real_tiles=told.real_tiles, kept_in=out.address)
        tracked = log_judgements(judgements, subjects, protocol, out.folder, tracker)
    for judgement in judgements:
        console.print(f"{judgement.judged.name}: {headline(judgement)}")
        for finding in judgement.findings.values():
            console.print(f"  {finding.verdict}")
    console.print(f"The page: {out}/{PAGE} (beside it {SCORES}, a table or more of each report, {FIGURES}/)")
    print_unsent(console, out)
    for run_id in tracked:
        console.print(f"In MLflow, the run {run_id}: {tracker.run_url(run_id) or ui_command(tracking_uri)}")


def called(places: Sequence[str]) -> list[str]:
    """Name what is judged as people would: by the end of its address, or the whole of it where two end alike."""
    ends = [place.rstrip("/").rpartition("/")[2] or place for place in places]
    if len(set(ends)) == len(ends):
        return ends
    if all(place.startswith("/") for place in places):  # what these folders have in common says nothing, but who we are
        return [relpath(place, commonpath(places)) for place in places]
    return list(places)


def _config(options: JudgedOptions, finished: Sequence[Finished]) -> ExperimentConfig:
    """Say how is judged: as asked, and where nothing was asked, as the runs were."""
    data, evaluation = options.data, EvaluationConfig(**options.evaluation.model_dump())
    if data == DataConfig() and finished:
        data = finished[0].config.data
    if evaluation == EvaluationConfig() and len({run.config.evaluation for run in finished}) == 1:
        evaluation = finished[0].config.evaluation
    return from_store(ExperimentConfig(data=data, evaluation=evaluation))


def _check_free(out: Place) -> None:
    """Refuse a place that cannot be written, or holds a judgement already.

    Raises:
        ConfigError: With the remedy.
    """
    if (problem := why_not_made(Path(out.folder))) is not None:
        raise ConfigError(f"--out {out} cannot be used: {problem}; name another folder")
    if (out.folder / PAGE).exists():
        raise ConfigError(f"--out {out} holds {PAGE} already; name another folder")
