"""Why a score is missing: the number of tiles that it needs, and how many there are."""

from collections.abc import Callable

import pytest

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation import score_names, why_no_score

MakeStore = Callable[..., TileStore]
CONFIG = EvaluationConfig(num_samples=50)
X = "efficientnet-lite0/50"


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (f"coverage/{X}/label/rare", "coverage needs 32 tiles of label 'rare', but 10 are compared; raise evaluation."),
        (f"sliced/{X}/label/rare", "sliced needs 16 tiles of label 'rare', but 10 are compared"),
        ("c2st/texture/50/label/rare", "c2st needs 32 tiles of label 'rare', but 10"),
        ("distance/texture/50/label/rare", "distance needs 16 tiles of label 'rare', but 10"),
        (f"fid/{X}/label/rare", "fid is of all tiles alone, as a label or a domain has too few for it; take kid"),
        (f"kid/{X}/domain/default", "all tiles compared are of one domain; take the score of all"),
        (f"kid/{X}/label/rare", ""),
        (f"kid/{X}", ""),
        (f"kid/{X}/label/unknown", ""),
        ("kid/domain-cnn/50/label/rare", ""),
        ("kid/efficientnet-lite0/40/label/rare", ""),
        ("loss/generator/loss", ""),
    ],
)
def test_the_number_is_said(make_store: MakeStore, score: str, expected: str) -> None:
    store = make_store({"common": (40, 40), "rare": (10, 10)}, size=16)
    names = score_names(CONFIG, store)
    reason = why_no_score(score, CONFIG, store)
    assert reason.startswith(expected) and bool(reason) == bool(expected)
    assert not reason or score not in names
