"""The Flower ServerApp: the same experiment on Flower's stock simulation and its deployment engine (`flwr run .`)."""

from logging import INFO
from typing import Any

from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedray.config import SITES, ExperimentConfig, override
from fedray.data import local_store
from fedray.evaluation import Evaluator
from fedray.experiment.engines import ExperimentRun
from fedray.experiment.settled import settled
from fedray.federation import AgreedGrid, ask_sites
from fedray.learning import training_device
from fedray.results.files import CHECKPOINT
from fedray.results.place import results_root

server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment that the run config describes by config paths (``gan.n_critic=2``), and log its rounds."""
    on_sites = _given(context).get("data.store") == SITES
    run = _run_on_sites(grid, context) if on_sites else _run_on_one_store(grid, context)
    # The only place that has the generator then: no tile is here that it could be judged by.
    folder = results_root() / "runs" / f"sites-{context.run_id}" / CHECKPOINT if on_sites else None
    while not run.done:
        result = run.step()
        figures = ", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
        log(INFO, "round %s of %s: %s", result.report.round_index, run.config.federation.num_rounds, figures)
        if folder is not None:
            run.save(folder)
            log(INFO, "the averaged networks are in %s", folder.resolve())


def _run_on_one_store(grid: Grid, context: Context) -> ExperimentRun:
    config = measured_by(context)
    Evaluator.prepare(local_store(config.data), config.evaluation, training_device(config.resources))
    # Only now: the stock simulation starts this function while it is still registering its SuperNodes.
    return ExperimentRun(config_of(context, num_nodes=len(list(grid.get_node_ids()))), grid)


def _run_on_sites(grid: Grid, context: Context) -> ExperimentRun:
    values = _given(context) | {"federation.num_clients": max(1, len(list(grid.get_node_ids())))}
    config = override(ExperimentConfig(), values, source="the Flower run config").resolved()
    census = ask_sites(grid, config)
    labels = ", ".join(f"{code} {name}" for code, name in enumerate(census.label_names))
    tiles = f"{sum(census.sizes)} training tiles of {census.shape.size} px"
    log(INFO, "%s sites have %s; labels: %s", len(census.sizes), tiles, labels)
    return ExperimentRun(config, AgreedGrid(grid, census), census=census)


def measured_by(context: Context) -> ExperimentConfig:
    """Build what of the configuration says how generators are judged, before it is known how many nodes there are."""
    sections = ("data.", "evaluation.")
    given = {path: value for path, value in _given(context).items() if path.startswith(sections)}
    return settled(override(ExperimentConfig(), given, source="the Flower run config"))


def config_of(context: Context, num_nodes: int) -> ExperimentConfig:
    """Build the configuration from Flower's run config; there are as many clients as Flower has nodes.

    Raises:
        ConfigError: A key is no config path, or a value breaks a rule.
        StoreError: The data cannot be opened.
        EvaluationError: They are too few to compare with.
    """
    values = _given(context) | {"federation.num_clients": num_nodes}
    return settled(override(ExperimentConfig(), values, source="the Flower run config"))


def _given(context: Context) -> dict[str, Any]:
    return {path: value for path, value in context.run_config.items() if value != ""}  # Flower's have no null
