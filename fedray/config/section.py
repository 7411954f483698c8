"""What all sections of the configuration are made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from fedray.config.schema import ExperimentConfig

NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: immutable, closed to unknown keys, defaults validated like input."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


class Family(Section):
    """Base of the sections of the tasks: what is asked of whichever an experiment has.

    A subclass has the fields ``batch_size`` and ``clip_norm``, and ``weights`` where it may begin with those of a file.
    """

    TELLING: ClassVar[tuple[str, ...]]
    """Fields that say at a glance what is trained, the first of them in a word."""

    if TYPE_CHECKING:  # declared below, each with its own meaning and range
        batch_size: int
        clip_norm: float | None

    @property
    def subject(self) -> str:
        """What is trained, in a word: the value of the first field of :attr:`TELLING`."""
        return str(getattr(self, self.TELLING[0]))

    @property
    def average_decay(self) -> float:
        """Decay of the moving average of what is trained; 0 where none is kept."""
        return 0.0

    @property
    def stops_after(self) -> int | None:
        """Evaluations in a row without a smaller validation loss after which the training stops; None: it does not."""
        return None

    @property
    def other_stores(self) -> Mapping[str, str]:
        """Tile stores that are read beside ``data.store``, by the fields that name them."""
        return {}

    @property
    def is_private(self) -> bool:
        """Whether clients release something under differential privacy beside what ``privacy`` is about."""
        return False

    @property
    def lacks_plain_sgd(self) -> str:
        """What a strategy that counts on plain SGD lacks, in words; empty where it has it."""
        return ""

    def usual(self) -> Self:
        """Return the same subject with all else by default."""
        return type(self)(**{self.TELLING[0]: self.subject})

    def resolved(self) -> Self:
        """Return the same with every field set that has a value of its source if unset."""
        return self

    def uncompiled(self) -> Self:
        """Return the same without what takes minutes before the first step."""
        return self

    def problems(self, experiment: "ExperimentConfig") -> list[str]:
        """Say what of an experiment of this task does not go with it, a sentence each with the remedy."""
        return []
