"""The Flower ServerApp: an experiment on the sites that are connected, tracked and kept as a simulated run's is."""

from logging import INFO

from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedray.config import ExperimentConfig
from fedray.deployment.bundle import EXPERIMENT, OUT, TRACKING
from fedray.deployment.experiment import run_on_sites
from fedray.experiment.engines import RoundResult

server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment that was submitted, or go on with it."""
    given = {name: str(context.run_config[name]) for name in (EXPERIMENT, OUT, TRACKING)}
    config = ExperimentConfig.model_validate_json(given[EXPERIMENT])

    def told(result: RoundResult) -> None:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
        log(INFO, "round %s of %s: %s", result.report.round_index, config.federation.num_rounds, figures)

    result = run_on_sites(config, grid, out=given[OUT], tracking_uri=given[TRACKING], on_round=told)
    log(INFO, "results: %s", result.out)
