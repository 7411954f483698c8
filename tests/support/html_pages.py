"""Pages that need nothing but themselves: what one asks for, and whether a browser shows it whole."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

from docs.make_screenshots import browser
from tests.support.servers import missing

LAPTOP = 1280
"""Pixels of width."""


class Page(HTMLParser):
    """What a page asks for, and whether its elements are closed as they were opened."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.images, self.addresses, self.text, self.open, self.ids = [], [], "", [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.addresses += [attrs[name] for name in ("src", "href", "action", "srcset", "data") if name in attrs]
        assert tag not in ("script", "link", "iframe", "object", "b"), tag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert not re.search(r"url\(|@import|http", data)
        else:
            self.text += data


def shown_whole(path: Path, at_least: int) -> str:
    """Open a page at the width of a laptop: no picture is missing, nothing is complained of, and only tables scroll.

    Args:
        path: Of the page.
        at_least: Pictures that it has.

    Returns:
        Its text.
    """
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(program) is None:
            missing(program, package)
    with browser() as driver:
        driver.set_window_size(LAPTOP, 900)
        driver.get(path.as_uri())
        widths = driver.execute_script("return [...document.images].map(i => i.complete ? i.naturalWidth : 0)")
        assert len(widths) >= at_least and min(widths) > 0
        assert driver.execute_script("return document.documentElement.scrollWidth") <= LAPTOP
        fetched = "return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length"
        assert driver.execute_script(fetched) == 0
        assert driver.get_log("browser") == []
        return driver.find_element("css selector", "main").text
