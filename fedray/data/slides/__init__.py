"""Slides: whole-slide images are cut into the tiles of a store. One idea a module.

``slide`` says what a slide is, ``with_openslide`` and ``with_tifffile`` read one, ``opening`` chooses between them;
``mask`` finds tissue, ``grid`` lays tiles over it, ``cutting`` reads them, ``picture`` draws both. ``listing`` says
which slides there are, and ``importer`` makes the store.
"""

from fedray.data.slides.importer import CutReport, CutSlide, cut_slides
from fedray.data.slides.listing import list_slide_folder, list_slide_split_folders, list_slide_table
from fedray.data.slides.options import CutOptions

__all__ = [
    "CutOptions",
    "CutReport",
    "CutSlide",
    "cut_slides",
    "list_slide_folder",
    "list_slide_split_folders",
    "list_slide_table",
]
