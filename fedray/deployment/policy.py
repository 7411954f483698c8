"""What a site allows: a YAML file that the site alone writes, and that no run can change."""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from flwr.app import ConfigRecord, Message
from pydantic import Field

from fedray.config import read_yaml, validate
from fedray.config.section import Positive, Section
from fedray.data import TileStore
from fedray.errors import UserError
from fedray.federation.messages import ARRAYS, CONFIG, ROUND, experiment_of, from_record


class PolicyError(UserError, ValueError):
    """A message breaks a rule of the site. The message names the rule, what is allowed, and what was found."""


Count = Annotated[int, Field(ge=1)]


class Policy(Section):
    """Rules of a site; what is unset is not limited."""

    rounds: Count | None = None
    """Rounds that a run may have at the most, >= 1."""
    tiles_per_label: Count | None = None
    """Training tiles, at least, of every label that the site has, >= 1; with fewer it takes part in nothing."""
    patients_per_label: Count | None = None
    """Patients (or slides), at least, behind the training tiles of every label that the site has, >= 1."""
    largest_update: Positive | None = None
    """Euclidean norm, at the most, of what changed in the networks that are sent, over all of them, > 0."""
    forbidden: tuple[str, ...] = ()
    """Names of records that may not leave, such as 'tiles' or 'logits'."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a policy.

        Raises:
            ConfigError: The file is not there, or a rule is none.
        """
        return validate(cls, read_yaml(path), source=str(path))

    def check_store(self, store: TileStore) -> None:
        """Refuse to bring a store.

        Raises:
            PolicyError: A label has too few tiles or patients.
        """
        training = store.indices("train")
        for code in np.unique(store.labels[training]).tolist():
            own = training[store.labels[training] == code]
            found = {"tiles_per_label": len(own), "patients_per_label": len(np.unique(store.groups[own]))}
            for rule, number in found.items():
                least = getattr(self, rule)
                if least is not None and number < least:
                    raise PolicyError(
                        f"{rule} must be at least {least}, but the label {store.label_names[code]!r} has {number}"
                    )

    def check_request(self, message: Message) -> None:
        """Refuse a message of the server's before anything is done.

        Raises:
            PolicyError: The run has more rounds than are allowed.
        """
        header = message.content.config_records.get(CONFIG, ConfigRecord())
        if self.rounds is None or not header:
            return
        asked = max(experiment_of(message).federation.num_rounds, int(str(header.get(ROUND, 0))))
        if asked > self.rounds:
            raise PolicyError(f"rounds must be at most {self.rounds}, but the run asks for {asked}")

    def check_reply(self, message: Message, reply: Message) -> None:
        """Refuse what would leave the site.

        Args:
            message: Of the server.
            reply: To it.

        Raises:
            PolicyError: A record may not leave, or the networks changed by too much.
        """
        if reply.has_error():
            return
        if found := [name for name in reply.content if name in self.forbidden]:
            raise PolicyError(f"forbidden names the record {found[0]!r}, which the reply to this question would hold")
        if self.largest_update is None or ARRAYS not in reply.content or ARRAYS not in message.content:
            return
        before, after = (from_record(each.content.array_records[ARRAYS]) for each in (message, reply))
        squares = sum(
            float(np.sum((after[name].astype(np.float64) - before[name].astype(np.float64)) ** 2))
            for name in after
            if name in before
        )
        if not np.sqrt(squares) <= self.largest_update:
            raise PolicyError(
                f"largest_update must be at most {self.largest_update:g}, but the networks changed by "
                f"{np.sqrt(squares):g}"
            )
