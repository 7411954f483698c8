"""HAM10000 (Tschandl et al. 2018) as its Dataverse record doi:10.7910/DVN/DBW86T and copies of it hold it."""

from fedray.data.published.tables import Part, TableSource

_COLUMNS = {"image": "image_id", "label": "dx", "group": "lesion_id"}
_LABORATORY = {"domain": "dataset"}
"""The most copied edition of the table lacks the column."""

HAM10000 = TableSource(
    title="HAM10000",
    home="doi:10.7910/DVN/DBW86T",
    parts=(
        Part(
            table="HAM10000_metadata",
            split="train",
            pictures="HAM10000_images_part_1.zip and HAM10000_images_part_2.zip",
            columns=_COLUMNS,
            optional=_LABORATORY,
        ),
        Part(
            table="ISIC2018_Task3_Test_GroundTruth",
            split="test",
            pictures="ISIC2018_Task3_Test_Images.zip",
            columns=_COLUMNS,
            optional=_LABORATORY,
            required=False,
        ),
    ),
    unpublished=frozenset({"ISIC_0035068"}),
)
