"""Take the picture of a judgement's page for the docs: python docs/make_report_picture.py REPORT.html.

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

import argparse
from pathlib import Path

from docs.make_screenshots import DOCS, browser, take

WIDTH, HEIGHT = 1280, 1560
"""Of the picture: a laptop's width, and as far as the end of the scores."""


def main() -> None:
    """Take the top of the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path, help="report.html of a judgement")
    parser.add_argument("--out", type=Path, default=DOCS / "report-page.png", help="the picture")
    options = parser.parse_args()
    with browser() as driver:
        driver.set_window_size(WIDTH, HEIGHT)
        driver.get(options.page.resolve().as_uri())
        take(driver, options.out)


if __name__ == "__main__":
    main()
