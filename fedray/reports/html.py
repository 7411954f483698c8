"""Elements of an HTML page: whatever is put in as text stands on the page as text, and nothing is fetched."""

import base64
import struct
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, tostring

from fedray.reports.base import Figure
from fedray.reports.style import CSS

Child = Element | str | None

_CSS_PER_PNG = 96 / 180
"""Of a chart: pixels of a page for one of the picture, which is drawn finer for print."""


def node(tag: str, *children: Child, **attributes: str) -> Element:
    """Make an element.

    Args:
        tag: Its name.
        children: Elements, text, or None, which is left out.
        attributes: By name; ``class_`` is ``class``, and ``_`` within a name is ``-``.
    """
    made = Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child:
            _add_text(made, child)
    return made


def page(title: str, *body: Child) -> str:
    """Write a whole page, in UTF-8: its style is inside, and it asks no server for anything."""
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light"),
        node("title", title),
        node("style", CSS),
    )
    whole = node("html", head, node("body", node("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{tostring(whole, encoding='unicode', method='html')}\n"


def chart(figure: Figure) -> Element:
    """Show a chart with its caption below, in the size that it was drawn for."""
    width, height = _size(figure.png)
    size = {"width": str(round(width * _CSS_PER_PNG)), "height": str(round(height * _CSS_PER_PNG))}
    return node(
        "figure", node("img", src=data_uri(figure.png), alt=figure.alt, **size), node("figcaption", figure.caption)
    )


def tiles(png: bytes, alt: str, caption: str) -> Element:
    """Show rows of tiles, as wide as there is room; each pixel stays a square."""
    width, height = map(str, _size(png))
    shown = node("img", class_="tiles", src=data_uri(png), alt=alt, width=width, height=height)
    return node("figure", shown, node("figcaption", caption))


def data_uri(png: bytes) -> str:
    """Write a picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def table(header: Sequence[Child], rows: Sequence[Sequence[Child]], label: str, words: Sequence[int] = (0,)) -> Element:
    """Make a table that scrolls by itself where it is wider than the page.

    Args:
        header: Words above the columns.
        rows: Of cells.
        label: What it is, for those who do not see it.
        words: Columns that are set to the left; numbers stand on the right.
    """

    def cells(tag: str, row: Sequence[Child]) -> list[Element]:
        classes = [{} if place in words else {"class_": "number"} for place in range(len(row))]
        return [node(tag, cell, **more) for cell, more in zip(row, classes, strict=True)]

    head = node("thead", node("tr", *cells("th", header)))
    body = node("tbody", *(node("tr", *cells("td", row)) for row in rows))
    return node("div", node("table", head, body), class_="scroll", tabindex="0", role="region", aria_label=label)


def facts(entries: Mapping[str, Child]) -> Element:
    """List facts by their names."""
    parts = [part for name, value in entries.items() for part in (node("dt", name), node("dd", value))]
    return node("dl", *parts)


def _add_text(made: Element, text: str) -> None:
    if len(made):
        made[-1].tail = (made[-1].tail or "") + text
    else:
        made.text = (made.text or "") + text


def _size(png: bytes) -> tuple[int, int]:
    """Read width and height from a PNG's header."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height
