"""Take the picture of a report's page for the docs: python docs/make_report_picture.py REPORT.html [--part mattered].

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

import argparse
from pathlib import Path

from docs.make_screenshots import DOCS, browser, goto, take

WIDTH, HEIGHT = 1280, 1560
"""Of the picture: a laptop's width, and as far as the end of a judgement's scores."""


def main() -> None:
    """Take the top of the page, or one of its parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path, help="report.html of a judgement or a sweep")
    parser.add_argument("--part", default="", help="id of the heading that the picture begins with; unset: the top")
    parser.add_argument("--height", type=int, default=HEIGHT, help="of the picture, in pixels")
    parser.add_argument("--out", type=Path, default=DOCS / "report-page.png", help="the picture")
    options = parser.parse_args()
    with browser() as driver:
        driver.set_window_size(WIDTH, options.height)
        goto(driver, f"{options.page.resolve().as_uri()}#{options.part}")
        take(driver, options.out)


if __name__ == "__main__":
    main()
