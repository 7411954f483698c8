"""Users' words in options: what a message offers is what the option takes."""

import re
import shlex
from pathlib import Path

import pytest

from fedray.data import StoreError
from fedray.data.importing.checks import check_listing
from fedray.data.importing.images import ListedImage, Listing
from fedray.data.importing.labels import settle_labels
from fedray.data.importing.option_texts import parse_list, parse_pairs, typed


@pytest.mark.parametrize(
    "parts",
    [
        ["nv"], ["Crohn's", "b"], ["a, b", "c"], ['say "hi"', "b"], ["Ki67<14%", "$HOME"], ["Patient ID"],
        ["tumour (dysplastic)", "x;y", "ä*"], ["two\nlines", "b"],
    ],
)  # fmt: skip
def test_a_shell_and_the_parser_bring_back_what_was_written(parts: list[str]) -> None:
    option, text = shlex.split(typed("--labels", parts))
    assert (option, parse_list(text)) == ("--labels", parts)


def listing(*labels: str) -> Listing:
    return Listing(tuple(ListedImage(Path(f"{i}.png"), f"{i}.png", label) for i, label in enumerate(labels)))


@pytest.mark.parametrize("label", ["nv", "Crohn's", "a, b", 'say "hi"', "Ki67<14%"])
def test_the_remedy_for_a_label_with_one_image_works_as_it_is_printed(label: str) -> None:
    found = listing("mel", "mel", "bcc", "bcc", label)
    with pytest.raises(StoreError, match="must have at least 2 images") as refused:
        check_listing(found, "photos")
    remedy = re.search("leave it out: --labels (.*)$", str(refused.value))
    assert remedy is not None
    renames = parse_pairs(*shlex.split(remedy[1]), "--labels", "OLD=NEW")
    left = settle_labels(found, renames)
    assert renames == {label: ""} and {image.label for image in left.images} == {"mel", "bcc"}
    check_listing(left, "photos")


def test_pairs() -> None:
    assert parse_pairs("a=b, c = d ,e=", "--labels", "OLD=NEW") == {"a": "b", "c": "d", "e": ""}
    assert parse_pairs('"a, b=c",d=e=f', "--labels", "OLD=NEW") == {"a, b": "c", "d": "e=f"}
    assert parse_pairs("", "--labels", "OLD=NEW") == {}
    for wrong in ("a", "=b", "a=b,a=c", "a=b,,c=d"):
        with pytest.raises(StoreError, match="--labels must be pairs OLD=NEW, each left side once, but got"):
            parse_pairs(wrong, "--labels", "OLD=NEW")
