"""A whole study, on real Ray and real MLflow: stopped in the middle, continued, and nothing computed twice."""

import pytest
from mlflow import MlflowClient

from fedray.config import ConfigError
from fedray.data import TileStore
from fedray.results import Place
from fedray.results.finished import Finished, ResultsError
from fedray.studies import check_study, read_tables, run_study, saved_study
from fedray.studies.lanes import OneLane, RayLanes
from fedray.studies.performing import Outcome, Performer
from fedray.studies.progress import StudyLines
from fedray.studies.run import run_steps
from fedray.studies.steps import ExperimentStep, StoreStep, plan_study
from tests.support.studies import small_study


class StoppedError(BaseException):
    """Stands for whatever ends a process in the middle of a study."""


class Counting:
    """Does steps in this process on warm workers, and is stopped before one of them."""

    def __init__(self, pool, make_performer, stop_before=None):
        self._performer, self._stop_before, self.done = make_performer(), stop_before, []
        self._performer._workers = lambda config: pool

    def perform(self, step):
        if len(self.done) == self._stop_before:
            raise StoppedError
        self.done.append(step.fingerprint)
        return self._performer.perform(step)

    def close(self):
        pass


def test_a_study_that_is_stopped_goes_on_and_runs_no_step_again(workers, small_store, tmp_path, new_database):
    uri, out, study = new_database(tmp_path), tmp_path / "study", small_study(small_store)
    counted, lines = [], []

    def lanes(stop_before):
        def make(make_performer):
            counted.append(Counting(workers, make_performer, stop_before))
            return OneLane(counted[-1])

        return make

    def run(stop_before=None):
        return run_study(study, out=out, tracking_uri=uri, on_line=lines.append, make_lanes=lanes(stop_before))

    with pytest.raises(StoppedError):
        run(stop_before=5)
    first = counted[0].done
    assert len(first) == 5 and not (out / "tables.md").exists()
    assert saved_study(Place.at(out)) == study

    result = run()
    second = counted[1].done
    assert len(first) + len(second) == 8 and not set(first) & set(second), "every step once"
    assert "8 steps, 5 of them done before: they are not run again" in lines
    assert result.failed == {} and sum(line.startswith("[") for line in lines) == 8

    frame = read_tables(out).set_index(["row", "score"])
    assert frame.loc["trivial", "balanced-accuracy/test/20"]["mean"] == 0.5
    assert (frame["seeds"] == 2).all()
    assert "real + made" in (out / "tables.md").read_text() and "<table>" in (out / "tables.html").read_text()

    # the figures are those of the experiments themselves, and the chain hangs together
    plan = plan_study(study, out)
    for seed in (0, 1):
        both = plan.steps[plan.cells["classifiers", "real + made", seed]]
        finished = Finished.open(both.folder)
        value = frame.loc["real + made", "balanced-accuracy/test/20"]["values"][seed]
        assert finished.scores["balanced-accuracy/test/20"] == value
        made = TileStore.open(both.config.classification.synthetic)
        assert made.origin["seed"] == seed and len(made) == 12
        assert made.origin["learned-from"] == small_store.fingerprint

    assert list((out / "evaluation").rglob("*.safetensors")), "another machine goes on with the same extractor"

    # one parent with one child an experiment; it is the same parent after the stop
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_run(result.run_id).info.experiment_id], max_results=100)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == result.run_id]
    assert len(runs) == 1 + len(children) == 1 + 6
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["fedray.kind"] for run in children} == {"cell"}
    assert "both, seed 1" in {run.info.run_name for run in children}
    assert "tables.html" in {item.path for item in client.list_artifacts(result.run_id)}

    # all is done: once more computes nothing; another study does not fit into the folder
    again = run()
    assert counted[2].done == [] and read_tables(out).equals(read_tables(again.out))
    with pytest.raises(ConfigError, match="holds another study"):
        check_study(small_study(small_store, seeds=[5]), Place.at(out))
    with pytest.raises(ResultsError, match="holds a study; give one of the experiments in its folder steps/"):
        Finished.open(out)


class Pretending(Performer):
    """Says what a step came to without doing it; a step whose name says so fails, or kills its process."""

    def __init__(self, folder):
        self._folder = folder

    def perform(self, step):
        with (self._folder / "log").open("a") as log:
            log.write(f"{step.name}\n")
        if step.name.startswith("maker, seed 1"):
            raise ConfigError("it\nfailed")
        once = self._folder / "died"
        if step.name.startswith("real") and not once.exists():
            once.touch()
            import os

            os._exit(1)
        return Outcome({}, {}, seconds=2.0)

    def close(self):
        pass


def test_lanes_replace_one_that_dies_and_what_needs_a_failed_step_fails_with_it(ray_session, small_store, tmp_path):
    import ray

    from fedray.simulation import WorkerResources

    ray.cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    plan = plan_study(small_study(small_store), tmp_path / "out")
    lanes, lines = RayLanes(2, WorkerResources(1, cpus_per_worker=0.5), lambda: Pretending(tmp_path)), []
    try:
        outcomes = run_steps(plan, lanes, lines.append)
    finally:
        lanes.close()
    failed = {plan.steps[key].name: outcome.failed for key, outcome in outcomes.items() if outcome.failed}
    assert failed == {
        "maker, seed 1": "it failed",
        "made, seed 1": "maker, seed 1 has failed, which it needs",
        "both, seed 1": "made, seed 1 has failed, which it needs",
    }
    begun = (tmp_path / "log").read_text().splitlines()
    assert (
        sorted(begun)
        == sorted(
            [
                "real, seed 0",
                "real, seed 0",
                "real, seed 1",
                "maker, seed 0",
                "maker, seed 1",
                "made, seed 0",
                "both, seed 0",
            ]
        )
        or begun.count("real, seed 1") == 2
    ), "the step whose lane died was tried again"
    assert len(begun) == 7 and len(outcomes) == 8
    place = {name: at for at, name in enumerate(begun)}
    assert place["maker, seed 0"] < place["made, seed 0"] < place["both, seed 0"], "needs come first"


def test_lines_say_what_was_done_and_how_long_the_rest_takes(small_store, tmp_path):
    plan = plan_study(small_study(small_store), tmp_path)
    steps, now = list(plan.steps.values()), [0.0]
    lines = StudyLines(plan.steps, {steps[0].fingerprint}, lambda: now[0])
    assert lines.first() == "8 steps, 1 of them done before: they are not run again"
    now[0] = 20.0
    scores = {"balanced-accuracy/test/20": 0.75, "auroc/test/20": 0.9}
    told = lines.line(steps[1], Outcome(scores, {}, seconds=20.0))
    assert told == f"[2/8] {steps[1].name}: bal.acc 0.75, AUROC 0.9, 20 s | 0:20 gone, about 2:00 left"
    now[0] = 21.0
    assert "failed: no" in lines.line(steps[2], Outcome({}, {}, failed="no"))
    assert sum(isinstance(step, StoreStep) for step in steps) == 2 and isinstance(steps[0], ExperimentStep)
