"""Conditions: which of the searched paths a trial has, by the values of those that stand before them."""

from collections.abc import Iterator, Mapping

from fedray.config import nearest_name
from fedray.sweep.dimensions import Dimension, Value, shown

Search = Mapping[str, Dimension]
"""Searched paths and their ranges, in the order of the file."""


def is_active(dimension: Dimension, values: Mapping[str, Value]) -> bool:
    """Say whether a trial has a value for a path.

    Args:
        dimension: Of the path.
        values: Of the paths that stand before it; without those that the trial does not have.
    """
    return all(path in values and values[path] in allowed for path, allowed in dimension.when.items())


def active(search: Search, values: Mapping[str, Value]) -> dict[str, Value]:
    """Leave out the values of paths that a trial does not have."""
    kept: dict[str, Value] = {}
    for path, dimension in search.items():
        if path in values and is_active(dimension, kept):
            kept[path] = values[path]
    return kept


def contexts(search: Search, path: str) -> Iterator[dict[str, Value]]:
    """List the values of other paths with which a trial has this one; of a path without conditions, none."""
    found: list[dict[str, Value]] = [{}]
    for before, allowed in search[path].when.items():
        found = [
            values | more | {before: value}
            for values in found
            for more in contexts(search, before)
            for value in allowed
            if _agree(values, more | {before: value})
        ]
    yield from found


def combinations(search: Search) -> list[dict[str, Value]]:
    """List every combination of values that a trial can have, once; the last path changes fastest.

    All ranges have an end of values.
    """
    found: list[dict[str, Value]] = [{}]
    for path, dimension in search.items():
        found = [each for values in found for each in _with_all(values, path, dimension)]
    return found


def condition_problems(search: Search) -> Iterator[str]:
    """Say which conditions can never be met, or name what is not searched before."""
    names = list(search)
    for number, (path, dimension) in enumerate(search.items()):
        for name, allowed in dimension.when.items():
            where = f"search.{path}.when: {name}"
            if name not in search:
                yield f"{where} is not searched{nearest_name(name, search)}"
            elif name not in names[:number]:
                yield f"{where} must stand before {path}"
            elif never := [value for value in allowed if not search[name].contains(value)]:
                yield f"{where} is never {shown(never[0])} (its range is {search[name]})"


def never_searched(search: Search) -> Iterator[str]:
    """Say which paths no trial has; all names in the conditions are right."""
    for path in search:
        if next(contexts(search, path), None) is None:
            yield f"search.{path}.when: its conditions exclude each other"


def _agree(values: Mapping[str, Value], more: Mapping[str, Value]) -> bool:
    return all(values[path] == value for path, value in more.items() if path in values)


def _with_all(values: dict[str, Value], path: str, dimension: Dimension) -> Iterator[dict[str, Value]]:
    if not is_active(dimension, values):
        yield values
        return
    for value in dimension.grid() or ():
        yield values | {path: value}
