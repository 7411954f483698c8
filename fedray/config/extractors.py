"""The feature extractors by name: this dict is the list of them, and what ``--help`` says.

``fedray.evaluation.extractors`` has what loads each of them.
"""

import difflib

EXTRACTORS: dict[str, str] = {
    "efficientnet-lite0": "a frozen ImageNet network, installed with FedRay",
    "domain-cnn": "trained once on the store's real training tiles",
    "inception-v3-compat": "the one of the literature, which needs its weights",
    "timm": "a model of timm, 'timm:MODEL' with a file of its weights, or 'timm' with a folder that has config.json "
    "beside the weights, as Hugging Face keeps them",
    "pt2": "a network in a file of torch.export.save",
    "torchscript": "a network in a file of torch.jit.save",
}

EXPORTED = ("pt2", "torchscript")
"""Those of which a file is the whole network, and its loading runs what is in the file."""
FROM_FILE = ("timm", *EXPORTED)
"""Those that come from a file of the user's."""


def described_extractors() -> str:
    """Return what ``--help`` says of ``evaluation.extractor``."""
    told = "; ".join(f"'{name}': {text}" for name, text in EXTRACTORS.items())
    return (
        f"Features in which generated tiles are compared with real ones. {told}. Unset: 'efficientnet-lite0', or "
        "'domain-cnn' for the discriminator 'projected', which trains against the former's."
    )


def checked_extractor(value: str) -> str:
    """Return the name of an extractor.

    Raises:
        ValueError: There is none of that name.
    """
    kind, colon, model = value.partition(":")
    if kind not in EXTRACTORS or (colon and (kind != "timm" or not model)):
        near = difflib.get_close_matches(value, [*EXTRACTORS, "timm:MODEL"], n=1)
        names = ", ".join(repr(name) for name in (*EXTRACTORS, "timm:MODEL"))
        raise ValueError(
            f"must be one of {names}, but got {value!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    return value
