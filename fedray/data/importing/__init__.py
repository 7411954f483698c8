"""Import: pictures that lie in folders or are named by a table become a tile store. One idea a module.

``folders`` says which level of the folders is the label, ``tables`` and ``columns`` what a table says. Each ends in a
:class:`~fedray.data.importing.images.Listing`, held against the rules in ``checks``; ``splitting`` splits what came
without a split, and ``importer`` makes the store.
"""

from fedray.data.importing.importer import ImportOptions, ImportReport, import_csv, import_folder

__all__ = ["ImportOptions", "ImportReport", "import_csv", "import_folder"]
