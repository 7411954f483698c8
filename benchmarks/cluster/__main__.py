"""Draw how an autoscaled cluster follows a sweep: python -m benchmarks.cluster [--out DIR] [--docs].

Four trials, each a node's whole work, on a cluster that begins and ends with its head alone; one node is taken away in
the middle. Nodes are real Ray nodes, launched on this machine instead of by a cloud: what is shown is who asks for
nodes when, not how fast a cloud is.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from tests.support.fake_nodes import FakeCluster, fake_cluster
from tests.support.sweep_on_nodes import Trials, run_sweep_and_take_a_node, trials_of, write_space

_FIGURE = Path(__file__).parents[2] / "docs" / "autoscaling.png"
_NUM_TRIALS = 4
_NUM_ROUNDS = 40


def main() -> None:
    """Run, write, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/cluster"), help="default: %(default)s")
    parser.add_argument("--docs", action="store_true", help="also put the figure into docs/")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        space = write_space(Path(folder), _NUM_TRIALS, _NUM_ROUNDS)
        with fake_cluster(Path(folder), cpus=1, max_workers=_NUM_TRIALS + 1, idle_minutes=0.2) as cluster:
            run_sweep_and_take_a_node(
                cluster, space, _NUM_TRIALS, f"{folder}/out", uri, {"FEDRAY_CACHE": f"{folder}/cache"}
            )
        trials = trials_of(uri)
        table = time_table(cluster)
        table.to_parquet(arguments.out / "nodes.parquet")
        draw(cluster, table, trials, arguments.out / "autoscaling.png")
    print(f"nodes: {arguments.out / 'nodes.parquet'}\nfigure: {arguments.out / 'autoscaling.png'}")
    if arguments.docs:
        shutil.copy(arguments.out / "autoscaling.png", _FIGURE)


def draw(cluster: FakeCluster, table: pd.DataFrame, trials: Trials, path: Path) -> None:
    """Draw the nodes above, the trials below, and the moment at which a node was lost."""
    figure, (nodes, runs) = plt.subplots(2, 1, sharex=True, figsize=(9, 4.5), layout="constrained")
    nodes.step(table["seconds"], table["workers"] + 1, where="post", color="#1f6f8b", linewidth=2)
    nodes.fill_between(table["seconds"], table["workers"] + 1, step="post", color="#1f6f8b", alpha=0.15)
    nodes.set(ylabel="nodes, with the head", ylim=(0, None), yticks=range(table["workers"].max() + 2))
    nodes.grid(axis="y", alpha=0.3)
    for row, (start, end) in enumerate(sorted(trials.spans(cluster.started))):
        runs.barh(row, end - start, left=start, height=0.6, color="#e0a458")
    runs.set(ylabel="trials", xlabel="seconds", yticks=range(_NUM_TRIALS), yticklabels=range(1, _NUM_TRIALS + 1))
    runs.invert_yaxis()
    for axes in (nodes, runs):
        axes.axvline(cluster.lost_at, color="#b23a48", linestyle="--")
    nodes.annotate(
        "a node is taken away", (cluster.lost_at, 0.3), xytext=(6, 0), textcoords="offset points", color="#b23a48"
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def time_table(cluster: FakeCluster) -> pd.DataFrame:
    """Tabulate the time line."""
    line = cluster.time_line
    return pd.DataFrame({"seconds": line.seconds, "workers": line.num_workers})


if __name__ == "__main__":
    main()
