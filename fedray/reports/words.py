"""A judgement in plain words: the paragraph at the top of the page, and what scores are called."""

from collections.abc import Sequence

from fedray.evaluation import is_of_all_tiles, mode_of
from fedray.reports import REPORTS
from fedray.reports.base import Finding, percent
from fedray.reports.judgement import Judgement

SCORES: dict[str, tuple[str, str]] = {
    "fid": ("FID", "Fréchet distance of Gaussians fitted to the features"),
    "kid": ("KID", "kernel distance of the features, unbiased at small n"),
    "c2st": ("c2st", "how often a classifier tells tiles from real ones; 0.5 is guessing"),
    "coverage": ("Coverage", "share of real tiles with a generated one nearby"),
    "recall": ("Recall", "share of real tiles within reach of the generated ones"),
    "precision": ("Precision", "share of generated tiles that lie among real ones"),
    "density": ("Density", "how densely real tiles surround generated ones"),
    "sliced": ("Sliced distance", "Wasserstein distance of the features along random directions"),
    "distance": ("Distance", "of stain, colour and texture, statistic by statistic, on average"),
}
"""By the first part of a score's name: what people call it, and what it says; others are shown by that part."""
_LEADING = ("kid", "c2st", "coverage")
STATES = {False: "no alarm", True: "alarm", None: "cannot be said"}


def called(score: str) -> str:
    """Name a score for people: its kind, and the features."""
    kind, features, *_ = score.split("/")
    return f"{SCORES.get(kind, (kind, ''))[0]} ({features})"


def state(finding: Finding) -> str:
    """Say in two words what a finding is."""
    return STATES[finding.alarm]


def number(value: float) -> str:
    """Write a number with three digits."""
    return "" if value != value else f"{value:.3g}"  # not a number


def headline(judgement: Judgement) -> str:
    """Say in one sentence whether anything speaks against the tiles."""
    alarms = [REPORTS[name].title.lower() for name in judgement.alarms]
    worse, compared = len(judgement.worse), len(judgement.compared)
    if not compared:
        beside = "no score has real tiles to be held against"
    elif not worse:
        beside = f"by none of {compared} scores are they worse than other real tiles"
    elif worse == compared:
        beside = f"by all {compared} scores they are worse than real tiles are"
    else:
        beside = f"by {worse} of {compared} scores they are worse than other real tiles, by {compared - worse} no worse"
    told = f"{len(alarms)} alarm{'s' * (len(alarms) > 1)}: {' and '.join(alarms)}" if alarms else "No alarm is raised"
    return f"{told}; {beside}."


def paragraph(judgement: Judgement, num_compared: int, store: str) -> str:
    """Say what the scores and reports find, in sentences."""
    sentences = [f"{num_compared} generated tiles are held against as many real ones of {store}."]
    sentences += [_told(name, judgement) for name in leading_scores(judgement)]
    sentences += [finding.verdict for finding in judgement.findings.values()]
    return " ".join(sentences)


def leading_scores(judgement: Judgement) -> Sequence[str]:
    """Name the scores of all tiles that people know, one or two of a kind, in the order in which they are read."""
    scores = [name for name in judgement.scores if is_of_all_tiles(name) and mode_of(name) is not None]
    return [name for kind in _LEADING for name in scores if name.startswith(f"{kind}/")]


def _told(name: str, judgement: Judgement) -> str:
    kind, features, *_ = name.split("/")
    value, floor = judgement.scores[name], judgement.floor.get(name)
    if kind == "c2st":
        beside = "" if floor is None else f", and between real tiles in {percent(floor)}"
        by = "colour and texture" if features == "texture" else features
        told = f"By {by}, a classifier tells them from real ones in {percent(value)} of cases"
        return f"{told} (guessing: {percent(0.5)}){beside}."
    if kind in ("coverage", "recall"):
        beside = "" if floor is None else f"; other real tiles have {percent(floor)}"
        return f"{SCORES[kind][0]} is {percent(value)}{beside}."
    beside = "" if floor is None else f"; other real tiles have {number(floor)}"
    return f"{SCORES[kind][0]} is {number(value)}{beside}."
