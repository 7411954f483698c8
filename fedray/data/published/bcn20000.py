"""BCN20000 (Hernández-Pérez et al. 2024) as doi:10.6084/m9.figshare.24140028 publishes it."""

from fedray.data.published.tables import Part, TableSource

BCN20000 = TableSource(
    title="BCN20000",
    home="doi:10.6084/m9.figshare.24140028",
    parts=(
        Part(
            table="bcn_20k_train",
            split="train",
            pictures="BCN_20k_train.zip",
            columns={"image": "bcn_filename", "label": "diagnosis", "group": "lesion_id"},
            optional={"split": "split"},
        ),
        Part(
            table="bcn_20k_test",
            split="test",
            pictures="BCN_20k_test.zip",
            columns={"image": "bcn_filename"},
            optional={"label": "diagnosis", "group": "lesion_id", "split": "split"},
            required=False,
        ),
    ),
    set_aside={"OOD": "out of distribution"},
)
