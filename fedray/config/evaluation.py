"""The section ``evaluation``: how what was trained is judged."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fedray.config.extractors import EXPORTED, FROM_FILE, checked_extractor, described_extractors
from fedray.config.section import Positive, Section

DEFAULT_EXTRACTOR = "efficientnet-lite0"


def _numbers(value: Any) -> Any:
    """Split numbers that came as one string: Flower's run config has no lists."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


_Extractor = Annotated[str, AfterValidator(checked_extractor)]
_Means = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], BeforeValidator(_numbers)]
_Deviations = Annotated[tuple[Positive, ...], BeforeValidator(_numbers)]


class EvaluationConfig(Section):
    """How the generator is judged."""

    extractor: _Extractor | None = Field(None, description=described_extractors())
    extractor_weights: str | None = None
    """File of the extractor's weights, the same on every machine; for 'timm' alone the folder with config.json. For
    'inception-v3-compat' (unset: torch-fidelity's own download), 'timm', 'pt2' and 'torchscript'."""
    extractor_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of that file, 64 hexadecimal digits (sha256sum FILE); any other file is refused. Needed for 'pt2' and
    'torchscript', whose loading runs what is in the file; unset for 'timm': that of the file which is found."""
    extractor_args: str | None = None
    """What timm's model is built with, NAME=VALUE with blanks between them, such as 'init_values=1e-5
    mlp_layer=SwiGLUPacked'; a layer is named as in timm.layers or torch.nn. For 'timm'."""
    extractor_size: int | None = Field(None, ge=8, le=1024)
    """Edge in pixels to which tiles are resized for an extractor from a file, 8 to 1024. Unset for 'timm': the model's
    own."""
    extractor_mean: _Means | None = None
    """Means of the channels that the network wants subtracted, of pixels in [0, 1]: as many numbers as it has channels.
    Unset for 'timm': the model's own."""
    extractor_std: _Deviations | None = None
    """Deviations of the channels that it wants divided by, of pixels in [0, 1], > 0. Unset for 'timm': the model's
    own."""
    extractor_interpolation: Literal["bilinear", "bicubic"] | None = None
    """How tiles are resized for it, antialiased: 'bilinear' or 'bicubic'. Unset: the model's own for 'timm', else
    'bilinear'."""
    extractor_width: int | None = Field(None, ge=1)
    """Features of a tile that an extractor from a file must have, >= 1. Unset for 'timm': the model's own."""
    num_samples: int | None = Field(None, ge=16)
    """Generated and real tiles compared, >= 16 and no more than the split has; scores compare only at equal numbers,
    which their names carry. Unset: 256, or all tiles of a smaller split; fewer where other real tiles, of the other
    split or unused, would not be enough of each label for floor and self-test."""
    split: Literal["train", "test"] = "test"
    """The real tiles that generated ones are compared with."""
    every: int = Field(1, ge=1)
    """Rounds between two evaluations, >= 1; the last round is always evaluated."""

    @model_validator(mode="after")
    def _extractor_and_what_is_said_of_it(self) -> Self:
        if problems := [*self._unread(), *self._unsaid(), *self._channels()]:
            raise ValueError("; ".join(problems))
        return self

    def _unread(self) -> list[str]:
        """Refuse what nothing would read."""
        kind, said = self.extractor_kind, ("sha256", "size", "mean", "std", "interpolation", "width")
        readers = {"weights": ("inception-v3-compat", *FROM_FILE), "args": ("timm",), **dict.fromkeys(said, FROM_FILE)}
        return [
            f"evaluation.extractor_{name} is for {' and '.join(map(repr, kinds))}, but evaluation.extractor is {kind!r}"
            "; leave it out, or name the extractor that it is of"
            for name, kinds in readers.items()
            if getattr(self, f"extractor_{name}") is not None and kind not in kinds
        ]

    def _unsaid(self) -> list[str]:
        kind = self.extractor_kind
        needed = ("weights", "sha256", "size", "mean", "std", "width") if kind in EXPORTED else ("weights",)
        lacking = [name for name in needed if getattr(self, f"extractor_{name}") is None]
        if kind not in FROM_FILE or not lacking:
            return []
        names = ", ".join(f"evaluation.extractor_{name}" for name in lacking)
        why = (
            "there are no other weights that could stand in" if kind == "timm" else "the file does not say them itself"
        )
        return [f"evaluation.extractor {self.extractor!r} needs {names}: {why}"]

    def _channels(self) -> list[str]:
        mean, std = self.extractor_mean, self.extractor_std
        if mean is None or std is None or len(mean) == len(std) > 0:
            return []
        return [
            "evaluation.extractor_mean and evaluation.extractor_std must have a number for each channel, but have "
            f"{len(mean)} and {len(std)}"
        ]

    @property
    def chosen_extractor(self) -> str:
        """The extractor, with the default where it is unset."""
        return self.extractor or DEFAULT_EXTRACTOR

    @property
    def extractor_kind(self) -> str:
        """Its name in the list of extractors: 'timm' for 'timm:MODEL'."""
        return self.chosen_extractor.partition(":")[0]
