"""Import: pictures in folders, named by tables or packed in a file become a tile store. One idea a module.

``contents`` says what lies in a folder, ``folders`` which level of it is the label, ``tables`` (with ``text_tables``,
``columns`` and ``named_files``) what a table says, ``medmnist`` what a file of MedMNIST holds. Each ends in a
:class:`~fedray.data.importing.images.Listing`. ``labels`` and ``checks`` hold that against the rules that all share,
``patients`` groups DICOM files, ``named_groups`` those whose names say it, ``splitting`` splits what came without a
split, and ``importer`` makes the store. ``inspection`` looks at the whole set on its way: at ``ranges``, ``leaks`` and
``confounds``. ``option_texts`` reads lists of users' words, and writes them into messages.
"""

from fedray.data.importing.contents import count_reasons
from fedray.data.importing.folders import parse_levels
from fedray.data.importing.images import LeftOut
from fedray.data.importing.importer import (
    ImportOptions,
    ImportReport,
    import_csv,
    import_folder,
    import_medmnist,
    import_split_folders,
)
from fedray.data.importing.tables import TableOptions

__all__ = [
    "ImportOptions",
    "ImportReport",
    "LeftOut",
    "TableOptions",
    "count_reasons",
    "import_csv",
    "import_folder",
    "import_medmnist",
    "import_split_folders",
    "parse_levels",
]
