"""The ISIC 2019 challenge (Combalia et al. 2019) as its pages publish it."""

from collections.abc import Mapping

from fedray.data.published.tables import UNKNOWN_DOMAIN, Join, Part, TableSource


def laboratory(row: Mapping[str, str]) -> str:
    """Name who took a picture, by its lesion's prefix: BCN, MSK, and of HAM10000, where its table is there, the camera.

    These are the six centres of Fed-ISIC2019 (Ogier du Terrail et al. 2022), and 'unknown' where no lesion is named.
    """
    lesion, camera = row.get("lesion_id", ""), row.get("dataset", "")
    for prefix in ("BCN", "MSK"):
        if lesion.startswith(prefix):
            return prefix
    if lesion.startswith("HAM"):
        return f"HAM_{camera}" if camera else "HAM"
    return UNKNOWN_DOMAIN


ISIC2019 = TableSource(
    title="ISIC 2019",
    home="https://challenge.isic-archive.com/data/#2019",
    parts=(
        Part(
            table="ISIC_2019_Training_GroundTruth",
            split="train",
            pictures="ISIC_2019_Training_Input.zip",
            columns={"image": "image", "group": "lesion_id"},
            joins=(
                Join("ISIC_2019_Training_Metadata", "image", ("lesion_id",)),
                Join("HAM10000_metadata", "image_id", ("dataset",), required=False),
            ),
        ),
        Part(
            table="ISIC_2019_Test_GroundTruth",
            split="test",
            pictures="ISIC_2019_Test_Input.zip",
            columns={"image": "image"},
            joins=(Join("ISIC_2019_Test_Metadata", "image", (), required=False),),
            required=False,
        ),
    ),
    one_hot=("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"),
    domain_of=laboratory,
    loose_end="_downsampled",
    set_aside={"UNK": "none of the others"},
)
