"""What stands at the head of a judgement's page."""

import pytest

from fedray.cli.evaluate import called


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["/data/site a/runs/federated", "made/"], ["federated", "made"]),
        (["s3://bucket/runs/x", "0123456789abcdef0123456789abcdef"], ["x", "0123456789abcdef0123456789abcdef"]),
        (["a/x", "b/x"], ["a/x", "b/x"]),
        (["/home/anna/a/x", "/home/anna/b/x"], ["a/x", "b/x"]),
        (["/"], ["/"]),
    ],
)
def test_it_is_called_by_the_end_of_its_address_unless_two_end_alike(places: list[str], expected: list[str]) -> None:
    assert called(places) == expected
