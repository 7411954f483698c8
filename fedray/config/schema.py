"""The configuration of one experiment: what is trained, on whose data, how it is judged, on which resources.

Every field of every section says what it means, its unit and its range; the job command lines, their ``--help`` and the
search-space keys are made of these models. Frozen, and an unknown key is an error.
"""

import math
from typing import Any, Self

from pydantic import Field, model_validator

from fedray.config.classification import ClassificationConfig
from fedray.config.data import SITES, DataConfig, PartitionConfig
from fedray.config.evaluation import EvaluationConfig
from fedray.config.federation import FederationConfig, PrivacyConfig
from fedray.config.flow import FlowConfig
from fedray.config.gan import GanConfig
from fedray.config.modes import AVERAGING
from fedray.config.resources import ResourcesConfig, TrackingConfig
from fedray.config.section import Family, Section
from fedray.config.tasks import TASKS, TaskName, described_tasks


class ExperimentConfig(Section):
    """One federated (or centralised) experiment."""

    seed: int = Field(0, ge=0)
    """Seed of every random stream, >= 0."""
    task: TaskName = Field("gan", description=described_tasks())
    starts_from: str | None = Field(None, min_length=1)
    """Whose networks the first round begins with, in the place of drawn ones: those of a finished run of the same task
    and build (its results folder, its s3:// or gs:// address, or the id of its MLflow run, 32 hexadecimal digits; of a
    sweep the best trial's), or of a .safetensors file with the arrays by name, and the names of labels and domains in
    its metadata. Labels and domains are matched by name; optimisers and counters begin anew. Unset: they are drawn."""
    data: DataConfig = DataConfig()
    partition: PartitionConfig = PartitionConfig()
    gan: GanConfig = GanConfig()
    classification: ClassificationConfig = ClassificationConfig()
    flow: FlowConfig = FlowConfig()
    federation: FederationConfig = FederationConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _sections_that_go_together(self) -> Self:
        problems = [
            *self._task_problems(),
            *self._mode_problems(),
            *self._robustness_problems(),
            *self._site_problems(),
        ]
        problems += self._privacy_problems() if self.privacy.on else []
        problems += self.family.problems(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _task_problems(self) -> list[str]:
        """Refuse values in the sections of other tasks: nothing would read them."""
        others = [name for name in TASKS if name != self.task and getattr(self, name) != type(getattr(self, name))()]
        return [
            f"section {name} is for task {name!r}, but task is {self.task!r} and nothing would read it; leave its "
            f"values out, or set task {name!r}, which {TASKS[name].job} trains"
            for name in others
        ]

    def _mode_problems(self) -> list[str]:
        federation, problems = self.federation, []
        if federation.mode != "federated" and federation.aggregate != "both":
            problems.append(
                f"federation.aggregate must be 'both' in mode {federation.mode!r} (there is no choice of what to "
                f"share), but got {federation.aggregate!r}"
            )
        if federation.mode not in AVERAGING and federation.strategy != "fedavg":
            problems.append(
                f"federation.strategy must be 'fedavg' in mode {federation.mode!r} (no weights of clients are "
                f"aggregated), but got {federation.strategy!r}"
            )
        if federation.mode == "fedssg" and self.task != "classification":
            problems.append(
                "federation.mode 'fedssg' hands labelled tiles to classifiers, so it needs task 'classification', but "
                f"got {self.task!r}"
            )
        if federation.mode != "centralised" and self.resources.engine == "ray-train":
            problems.append(
                "resources.engine 'ray-train' divides one training among workers, so it needs federation.mode "
                f"'centralised', but got {federation.mode!r}; leave it out"
            )
        if federation.mode == "md-gan" and federation.client_fraction < 1:
            problems.append(
                "federation.client_fraction must be 1 in mode 'md-gan' (a discriminator that is left out falls "
                f"behind), but got {federation.client_fraction:g}"
            )
        if federation.mode == "md-gan" and federation.max_failed_share > 0:
            problems.append(
                "federation.max_failed_share must be 0 in mode 'md-gan' (every discriminator judges every step), but "
                f"got {federation.max_failed_share:g}"
            )
        return problems

    def _site_problems(self) -> list[str]:
        """Refuse what needs all tiles in one place, or an account of what the sites say of theirs."""
        if self.data.store != SITES:
            return []
        problems = []
        if self.federation.mode == "centralised":
            problems.append(f"data.store {SITES!r} needs a federation.mode with several clients, but got 'centralised'")
        if self.partition != PartitionConfig():
            problems.append(f"partition must be left out with data.store {SITES!r}: every site has its own tiles")
        if self.privacy.on:
            problems.append(
                f"privacy needs a data.store that the server has too, but got {SITES!r}: which labels a site has would "
                "be covered by no account"
            )
        return problems

    def _robustness_problems(self) -> list[str]:
        """Refuse a robust strategy that protects from nobody with so few clients."""
        federation = self.federation
        num_asked = max(1, round(federation.client_fraction * self.num_clients))
        num_sure = num_asked - int(federation.max_failed_share * num_asked)
        clients = f"{num_sure} clients are sure to answer in a round"
        if federation.strategy == "fedmedian" and num_sure < 3:
            return [
                "federation.strategy 'fedmedian' needs at least 3 clients a round, as the median of 2 is their mean, "
                f"but {clients}; take more clients, or 'fedavg'"
            ]
        if federation.strategy == "trimmed-mean" and int(federation.trimmed_share * num_sure) < 1:
            remedy = f"set it to {math.ceil(1000 / num_sure) / 1000:g} or more" if num_sure > 2 else "take 3 or more"
            return [
                f"federation.trimmed_share of {federation.trimmed_share:g} leaves nobody out where {clients}, so "
                f"'trimmed-mean' would be the plain mean; {remedy}, or take 'fedavg'"
            ]
        needed = 2 * federation.num_malicious + 3
        if federation.strategy == "krum" and num_sure < needed:
            return [
                "federation.strategy 'krum' needs at least 2 x federation.num_malicious + 3 clients a round (Blanchard "
                f"et al. 2017), here {needed}, but {clients}; take more clients, or lower federation.num_malicious"
            ]
        return []

    def _privacy_problems(self) -> list[str]:
        federation, problems = self.federation, []
        if federation.mode != "federated":
            problems.append(f"privacy needs federation.mode 'federated', but got {federation.mode!r}")
        if federation.strategy not in ("fedavg", "fedprox"):
            problems.append(
                "privacy needs federation.strategy 'fedavg' or 'fedprox', whose mean the account is for, but got "
                f"{federation.strategy!r}"
            )
        if federation.weighting != "uniform":
            problems.append(
                "privacy needs federation.weighting 'uniform', because no client may count for more than the noise "
                f"covers, but got {federation.weighting!r}"
            )
        if federation.max_failed_share > 0:
            problems.append(
                "privacy needs federation.max_failed_share 0, because the noise is made for the clients that were "
                f"asked, but got {federation.max_failed_share:g}"
            )
        return problems

    @property
    def family(self) -> Family:
        """The section of the task: it has the task's name."""
        section = getattr(self, self.task)
        assert isinstance(section, Family)
        return section

    @property
    def is_private(self) -> bool:
        """Whether it releases something under differential privacy, and so has an account."""
        return self.privacy.on or self.family.is_private

    def with_family(self, **values: Any) -> Self:
        """Return the same with other values in the section of the task."""
        return self.model_copy(update={self.task: self.family.model_copy(update=values)})

    @property
    def engine(self) -> str:
        """Who computes: ``resources.engine``, or what 'auto' comes to."""
        if self.resources.engine != "auto":
            return self.resources.engine
        return "ray-train" if self.federation.mode == "centralised" else "workers"

    def resolved(self) -> Self:
        """Return the same with every field of the task's section set that has the value of its source if unset."""
        return self.model_copy(update={self.task: self.family.resolved()})

    @property
    def num_clients(self) -> int:
        """Clients that really exist: ``federation.num_clients``, or 1 in centralised mode."""
        return 1 if self.federation.mode == "centralised" else self.federation.num_clients
