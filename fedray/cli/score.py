"""The command line that scores tiles of any generator: options in; a table, its Parquet and a picture out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import BaseModel, ConfigDict, Field

from fedray.cli.options import parse_options
from fedray.cli.report import print_scores, show_self_test
from fedray.config import ConfigError, DataConfig, EvaluationConfig, ExperimentConfig
from fedray.data import local_store
from fedray.data.given import given_tiles
from fedray.evaluation import Evaluator, check_compared, check_extractor
from fedray.evaluation.differences import difference_lines
from fedray.experiment.judging import judging_of
from fedray.experiment.scoring import DIFFERENCES, PICTURE, TABLE, choose, score_given, write_scored
from fedray.experiment.self_tested import quality_line
from fedray.experiment.settled import from_store
from fedray.learning import training_device
from fedray.results.place import Place, new_place
from fedray.storage import why_not_made
from fedray.terminal import plain_console


class JudgeOptions(EvaluationConfig):
    """How the tiles are judged."""

    every: Annotated[int, tyro.conf.Suppress] = 1


class ScoreOptions(BaseModel):
    """Options of the job."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    tiles: Annotated[str | None, tyro.conf.arg(metavar="STORE_OR_FOLDER")] = None
    """The tiles to score: a tile store, or a folder with one folder of pictures (PNG, ...) a label, named as the
    store's labels."""
    tiles_split: Literal["train", "test"] | None = None
    """Which tiles of a store to score; unset: all of both splits."""
    resize: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Cut tiles of another size square and resize them to the store's; otherwise they are refused. Resizing moves
    scores."""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the results, or an s3:// or gs:// address; unset: runs/scores with the time."""
    seed: int = Field(0, ge=0)
    """Which tiles are drawn where a label has more than are compared, >= 0."""
    data: DataConfig = DataConfig()
    evaluation: JudgeOptions = JudgeOptions()


_SHORT = {"--data": "--data.store", "--num-samples": "--evaluation.num-samples"}


def score(argv: Sequence[str], description: str) -> None:
    """Score tiles.

    Args:
        argv: Command line without the program; ``--data STORE`` is short for ``--data.store STORE``, and
            ``--num-samples N`` for ``--evaluation.num-samples N``.
        description: First paragraph of ``--help``.

    Raises:
        UserError: The message is for the user.
    """
    options = parse_options(ScoreOptions, [in_full(word) for word in argv], description)
    if options.tiles is None:
        raise ConfigError("name the tiles to score: --tiles STORE_OR_FOLDER")
    evaluation = EvaluationConfig(**options.evaluation.model_dump())
    config = from_store(ExperimentConfig(data=options.data, evaluation=evaluation))
    store = local_store(config.data)
    check_compared(store, config.evaluation)
    check_extractor(store, config.evaluation)
    given = given_tiles(options.tiles, store, options.tiles_split, resize=options.resize)
    choose(given.labels, store, config.evaluation, options.seed)  # before an extractor is trained
    out = Place.at(options.out or new_place("scores"))
    if not out.is_locked():  # a job that died there left half of them
        _check_free(out)
    console = plain_console()
    evaluator = Evaluator.prepare(store, config.evaluation, training_device(config.resources))
    scored = score_given(given, store, config.evaluation, evaluator, options.seed)
    with out.held() as is_left:
        if not is_left:
            _check_free(out)
        write_scored(scored, store, evaluator, f"{options.tiles} against {store.name}", out.folder)
        out.push()
    num, num_given = len(scored.labels), len(given.labels)
    drawn = f"{num_given - num:,} of {num_given:,} tiles are left out; which, is drawn by --seed {options.seed}"
    for note in (*given.notes, *([drawn] if num < num_given else [])):
        console.print(f"note: {note}", soft_wrap=True)
    show_self_test(console, evaluator, out.folder)
    heading = judging_of(config).heading(config)._replace(title=f"Scores of {options.tiles} against {store.name}")
    print_scores(console, scored.scores, scored.floor, heading, quality=quality_line(evaluator))
    for line in difference_lines(scored.differences):
        console.print(line, soft_wrap=True)
    console.print(f"Results: {out}/: {TABLE}, {DIFFERENCES}, {PICTURE}", soft_wrap=True)


def in_full(word: str) -> str:
    """Write out the options that have a short form."""
    option, equals, value = word.partition("=")
    return _SHORT.get(option, option) + equals + value


def _check_free(out: Place) -> None:
    """Refuse a place that cannot be written, or holds scores already.

    Raises:
        ConfigError: With the remedy.
    """
    if (problem := why_not_made(Path(out.folder))) is not None:
        raise ConfigError(f"--out {out} cannot be used: {problem}; name another folder")
    if taken := [name for name in (TABLE, DIFFERENCES, PICTURE) if (out.folder / name).exists()]:
        raise ConfigError(f"--out {out} holds {' and '.join(taken)} already; name another folder")
