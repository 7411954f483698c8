"""The centralised baseline: the same training on all tiles at once, data-parallel on Ray Train.

Every worker holds a share of the tiles and takes its share of each batch; gradients are averaged before every step, so
that the networks stay equal. With one worker it is the local pass of a single client that has all tiles.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer
from ray.util.placement_group import get_current_placement_group
from ray.util.queue import Empty, Queue
from torch import Tensor, distributed, nn

from fedray.config import ConfigError, ExperimentConfig
from fedray.data import census_of, partitioned_store, tile_shape, training_sizes
from fedray.experiment.engines.base import RoundResult, checkpoint_of, with_noise_of
from fedray.experiment.judging import Evaluation, judging_of
from fedray.experiment.prepare import Prepared, install_evaluation
from fedray.experiment.starting import first_state
from fedray.experiment.stopping import is_done, is_due, with_validation
from fedray.federation import (
    DivergedError,
    FederationError,
    FederationState,
    RoundReport,
    check_convergence,
    client_steps,
    load_round,
    save_round,
    shared_arrays,
    to_record,
)
from fedray.federation.client import report_metrics
from fedray.federation.messages import NUM_EXAMPLES, counts_of
from fedray.learning import Arrays, Hook, Learner, PassReport, check_finite, training_device
from fedray.randomness import derive_seed
from fedray.results.pictures import Preview
from fedray.results.start import Start
from fedray.simulation import NoWorkerError, StartWatch, WorkerResources, describe_capacity
from fedray.tasks import Pass, judged_arrays, task_of

_LOOK_S = 1.0  # a wait for a round looks this often whether the training is still alive


@contextmanager
def on_ray_train(
    config: ExperimentConfig, resources: WorkerResources, prepared: Prepared, start: Start | None = None
) -> Iterator["CentralisedRun"]:
    """Put a centralised experiment on workers of Ray Train, which end with it.

    Args:
        config: Of the experiment.
        resources: How many workers, and what each of them takes.
        prepared: What judges (see :func:`prepare_judge`).
        start: As of :class:`CentralisedRun`.

    Raises:
        ConfigError: There are more workers than tiles.
    """
    with closing(CentralisedRun(config, resources, prepared, start)) as run:
        yield run


class CentralisedRun:
    """A centralised experiment on Ray Train. See :class:`fedray.experiment.engines.Run`."""

    def __init__(
        self, config: ExperimentConfig, resources: WorkerResources, prepared: Prepared, start: Start | None = None
    ) -> None:
        """Stand before round 1. Ray Train's workers start with the first step.

        Args:
            config: Of the experiment.
            resources: How many workers, and what each of them takes.
            prepared: The evaluation (see :func:`prepare_judge`).
            start: What ``starts_from`` names, where it is open already; unset: it is opened here.

        Raises:
            ConfigError: There are more workers than tiles.
            StartError: What it starts from does not fit.
        """
        num_tiles = int(training_sizes(config)[0])
        if resources.num_workers > num_tiles:
            raise ConfigError(
                f"resources.num_workers must be at most the number of training tiles ({num_tiles}) in federation.mode "
                f"'centralised', where every worker holds a share of them, but got {resources.num_workers}; lower it"
            )
        self.config, self.state = config, first_state(config, census_of(config), start)
        self._resources, self._prepared = resources, prepared
        self._training: _Training | None = None

    @property
    def done(self) -> bool:
        """Whether all rounds are done."""
        return is_done(self.config, self.state)

    @property
    def due(self) -> bool:
        """Whether the last round is one that is evaluated."""
        return is_due(self.config, self.state)

    def step(self) -> RoundResult:
        """Wait for the next round.

        Raises:
            DivergedError: A loss, a weight, a moment or a tile is not finite, or a loss has exploded.
            FederationError: The training failed.
            NoWorkerError: The workers did not start within ``resources.start_timeout_s``.
        """
        if self._training is None:
            self._training = _Training(self.config, self._resources, self._prepared, self.state)
        report, evaluation, arrays, optimizer = self._training.next_round()
        check_convergence(report.losses, report.round_index)
        self.state = replace(self.state, arrays=to_record(arrays), round_index=report.round_index, optimizer=optimizer)
        if evaluation is not None:
            evaluation = with_validation(self.config, self.state, evaluation, self.evaluate)
        return RoundResult(report, evaluation)

    def evaluate(self, seed: int | None = None) -> Evaluation:
        """Judge what is trained as it is now, by tiles of the experiment's noise or of another seed's."""
        return _evaluate(with_noise_of(self.config, seed), self.state.round_index, shared_arrays(self.state))

    def preview(self) -> Preview | None:
        """Show what is trained as it is now, unjudged; None where that shows nothing."""
        return judging_of(self.config).preview(self.config, judged_arrays(self.config, shared_arrays(self.state)))

    def save(self, folder: Path) -> None:
        """Write a checkpoint from which :meth:`load` continues, and remove older ones."""
        save_round(folder, self.state, {}, checkpoint_of(self.config))

    def load(self, folder: Path) -> None:
        """Continue from the newest checkpoint in a folder; without any, from the beginning."""
        if (kept := load_round(folder, checkpoint_of(self.config))) is not None:
            self.state = kept.state

    def close(self) -> None:
        """End the training's workers."""
        if self._training is not None:
            self._training.end()


Round = tuple[RoundReport, Evaluation | None, Arrays, Arrays]


class _Training:
    """A TorchTrainer at work in a thread; its first worker sends through a queue that it is up, and each round."""

    def __init__(
        self, config: ExperimentConfig, resources: WorkerResources, prepared: Prepared, state: FederationState
    ) -> None:
        self._rounds = Queue(actor_options={"num_cpus": 0})
        self._error: BaseException | None = None
        self._started, self._start_timeout_s = False, config.resources.start_timeout_s
        self._start_deadline = time.monotonic() + self._start_timeout_s
        size = (resources.num_workers, resources.cpus_per_worker, resources.gpus_per_worker)
        self._watch = StartWatch(partial(describe_capacity, *size, get_current_placement_group()))
        loop = {
            "config": config.model_dump(mode="json"),
            "prepared": prepared,
            "num_threads": max(1, int(resources.cpus_per_worker)),
            "arrays": shared_arrays(state),
            "optimizer": state.optimizer,
            "rounds_done": state.round_index,
            "rounds": self._rounds,
        }
        needs = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            needs["GPU"] = resources.gpus_per_worker
        scaling = ScalingConfig(
            num_workers=resources.num_workers, use_gpu=resources.gpus_per_worker > 0, resources_per_worker=needs
        )
        self._thread = threading.Thread(target=self._fit, args=(loop, scaling), name="fedray-centralised", daemon=True)
        self._thread.start()

    def next_round(self) -> Round:
        while True:
            alive = self._thread.is_alive()
            try:
                found: Round | str | None = self._rounds.get(timeout=_LOOK_S)
            except Empty:
                if not alive:
                    raise FederationError(f"the centralised training failed: {self._error}") from self._error
                if not self._started and time.monotonic() > self._start_deadline:
                    within = f"the centralised training's workers did not start within {self._start_timeout_s:g} s"
                    raise NoWorkerError(f"{within}: {self._watch.explain()}") from None
                continue
            if isinstance(found, str):
                raise DivergedError(found)
            if found is not None:
                return found
            self._started = True

    def end(self) -> None:
        self._rounds.shutdown(force=True)  # workers that still train fail at their next report

    def _fit(self, loop: dict[str, Any], scaling: ScalingConfig) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:  # Ray Train wants one; checkpoints are ours
                run = RunConfig(name="centralised", storage_path=folder)
                TorchTrainer(train_share, train_loop_config=loop, scaling_config=scaling, run_config=run).fit()
        except BaseException as error:
            self._error = error


def train_share(loop: dict[str, Any]) -> None:
    """Run the rounds that are left on one worker's share of the tiles. Called by Ray Train on every worker."""
    config = ExperimentConfig.model_validate(loop["config"])
    rank, num_workers = get_context().get_world_rank(), get_context().get_world_size()
    if rank == 0:
        loop["rounds"].put(None)  # the workers are up; fails where nobody waits for them any more
    torch.set_num_threads(loop["num_threads"])
    install_evaluation(loop["prepared"], config.data)
    task = task_of(config)
    whole = task.training(config, partitioned_store(config).tiles(0), 0)
    share = whole.chosen(slice(rank, None, num_workers))
    sharing = _share_of_batches(config, num_workers)
    learner = task.make(sharing, tile_shape(config.data), training_device(config.resources), load_weights=False)
    learner.load(loop["arrays"])
    optimizers = task.optimizers(learner)
    optimizers.load(loop["optimizer"])
    num_steps = client_steps(config, whole)
    average = _Average(num_workers)
    for round_index in range(loop["rounds_done"] + 1, config.federation.num_rounds + 1):
        started = time.monotonic()
        seed = derive_seed(config.seed, "client", round_index, 0, *([rank] if rank else []))
        try:
            hooks = [average] if num_workers > 1 else []
            a_pass = Pass(num_steps, steps_before=(round_index - 1) * num_steps, seed=seed, hooks=hooks)
            report = task.train(sharing, learner, optimizers, share, a_pass)
            average.buffers(learner)
            arrays, moments = learner.arrays(task.shared(config)), optimizers.arrays()
            check_finite(arrays)
            check_finite(moments, "moments of Adam")
        except DivergedError as error:  # on all workers at once: they have the same gradients, weights and moments
            if rank == 0:
                loop["rounds"].put(f"round {round_index}: {error}")
            return
        if rank == 0:
            try:
                done = _round(config, arrays, moments, round_index, report, started, len(whole.tiles))
            except DivergedError as error:
                loop["rounds"].put(f"round {round_index}: {error}")
                raise  # the other workers would wait for this one
            loop["rounds"].put(done)


def _share_of_batches(config: ExperimentConfig, num_workers: int) -> ExperimentConfig:
    return config.with_family(batch_size=max(2, -(-config.family.batch_size // num_workers)))


def _evaluate(config: ExperimentConfig, round_index: int, arrays: Arrays) -> Evaluation:
    return judging_of(config).evaluate(config, round_index, judged_arrays(config, arrays))


def _round(
    config: ExperimentConfig,
    arrays: Arrays,
    moments: Arrays,
    round_index: int,
    report: PassReport,
    started: float,
    num_tiles: int,
) -> Round:
    duration_s = time.monotonic() - started
    counts = counts_of({**report_metrics(report), NUM_EXAMPLES: num_tiles})
    told = RoundReport(
        round_index=round_index,
        losses=report.losses,
        counts=counts,
        num_clients=1,
        num_failed=0,
        duration_s=duration_s,
        times={},
        utilisation=None,
    )
    last = round_index == config.federation.num_rounds
    due = last or round_index % config.evaluation.every == 0
    evaluation = _evaluate(config, round_index, arrays) if due else None
    return told, evaluation, arrays, moments


class _Average(Hook):
    """Means over the workers: of gradients before every step, of batch statistics after every round."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers

    def gradient(self, name: str, network: nn.Module) -> None:
        gradients = [value.grad for value in network.parameters() if value.grad is not None]
        self._mean(gradients)
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            raise DivergedError(f"{name}/loss is not finite; smaller learning rates may help")

    def buffers(self, learner: Learner) -> None:
        if self._num_workers > 1:
            for network in learner.parts().values():
                trained = {name for name, _ in network.named_parameters()}
                kept = (
                    network.state_dict()
                )  # what is frozen for good is not in it: its mean would be it but for rounding
                self._mean([kept[name] for name in kept if name not in trained and kept[name].is_floating_point()])

    def _mean(self, values: list[Tensor]) -> None:
        if not values:
            return
        joined = torch.cat([value.flatten() for value in values])  # one message, not one a layer
        distributed.all_reduce(joined)
        joined /= self._num_workers
        for value, mean in zip(values, torch.split(joined, [value.numel() for value in values]), strict=True):
            value.copy_(mean.view_as(value))
