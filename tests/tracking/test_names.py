"""Users' words in MLflow: any label has a key of its own that MLflow takes, and comes back as it was."""

import itertools
import json
import random

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import RestException
from mlflow.utils.validation import _validate_metric_name, _validate_tag_name
from torch import nn

from fedray.tracking import Tracker, TrackingError, mlflow_key, name_of_key
from fedray.tracking.deliveries import SENDERS, Delivery
from fedray.tracking.names import picture_key
from fedray.tracking.outbox import Outbox

LABELS = [
    "gland", "Nevus (dysplastic)", "Nevus [dysplastic]", "Nevus _dysplastic_", "Nevus :lpar:dysplastic:rpar:",
    "Ki67<14%", "Ki67>14%", "Ki67_14_", "Ki67:lt:14:percnt:", "a//b", "a/b", "a/:empty:/b", "a/", "/a", "a",
    "", "/", "//", ".", "..", "../a", "./a", "a/..", "a/../b", "..a", ".a", ":period:a", " ", "a ", " a",
    "a  ", "a\n", "\t", "a\x00b", "HER2+", "HER2++", "HER2-", "HER2±", "grade ≥ 3", "grade ≤ 3", "[red]",
    "[/red]", "[bold", "$x_1$", "100%", "100 %", "%20", "data%20export", "a b", "é", "e\u0301", "Größe",
    "黒色腫", "مرحلة", "😀", "\udc80", "u1f600", ":u1f600:", ":", "::", "a:b", "a`b", "it's", 'the "rest"',
    "{name}", "a\\b", "x" * 249, "x" * 250, "x" * 251, "x" * 300 + "a", "x" * 300 + "b", "(" * 100, "(" * 101,
    "nan", "None", "0",
]  # fmt: skip


def score(label: str) -> str:
    return f"kid/efficientnet-lite0/256/label/{label}"


@pytest.mark.parametrize("make", [str, score], ids=["as they are", "in scores"])
def test_every_name_has_its_own_key_that_mlflow_takes(make):
    keys = {make(label): mlflow_key(make(label)) for label in LABELS}
    for name, key in keys.items():
        _validate_metric_name(key)
        _validate_tag_name(key)
        assert 0 < len(key) <= 250
        assert json.loads(json.dumps(key).encode()) == key
        if ":cut-" not in key:
            assert name_of_key(key) == name
    assert len(set(keys.values())) == len(keys) == len(LABELS)


def test_random_names_never_share_a_key():
    draw = random.Random(0)
    letters = "ab:/. ()_-%\\\u0301é" + ":lt:gt:empty:cut"
    names = {"".join(draw.choices(letters, k=draw.randrange(1, 9))) for _ in range(30_000)}
    assert len({mlflow_key(name) for name in names}) == len(names)
    assert all(name_of_key(mlflow_key(name)) == name for name in names)
    for name in itertools.islice(names, 3000):
        _validate_metric_name(mlflow_key(name))


@pytest.mark.parametrize(
    "name",
    ["fid/efficientnet-lite0/256", "kid/efficientnet-lite0/256/label/gland", "loss/discriminator/gradient-penalty",
     "gan.n_critic", "round-seconds/dispatch", "a b", "vit_b_16", "mlflow.parentRunId",
     "fedray.version.torch-fidelity", "x" * 250],
)  # fmt: skip
def test_a_name_that_mlflow_allows_stays(name):
    assert mlflow_key(name) == name


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("Nevus (dysplastic)", "Nevus :lpar:dysplastic:rpar:"),
        ("Ki67<14%", "Ki67:lt:14:percnt:"),
        ("HER2+", "HER2:plus:"),
        ("a//b", "a/:empty:/b"),
        ("..", ":period:."),
        ("grade 😀", "grade :u1f600:"),
    ],
)
def test_keys_can_be_read(label, key):
    assert mlflow_key(label) == key


def test_series_of_pictures_have_their_own_file_names():
    keys = [picture_key(label) for label in LABELS]
    assert len(set(keys)) == len(LABELS)
    assert all(key.isascii() and len(key) <= 120 and ":" not in key and "%" not in key for key in keys)
    assert picture_key("samples") == "samples"


def test_scores_pictures_and_the_model_of_any_labels_arrive(tracker: Tracker, uri: str) -> None:
    scores = {score(label): float(number) for number, label in enumerate(LABELS)}
    run = tracker.start_run("run", params={score(label): number for number, label in enumerate(LABELS)})
    run.log_round(np.int64(3), scores)
    for label in ("Ki67<14%", "a//b", "\udc80"):
        run.log_image(np.zeros((4, 4, 3), np.uint8), label, np.int32(3))
    model_uri = run.log_model(nn.Linear(3, 1), (torch.zeros(2, 3),), "generator", metrics=scores)
    run.finish("FINISHED")
    client = MlflowClient(uri)
    data = client.get_run(run.run_id).data
    assert {key: data.metrics[key] for key in map(mlflow_key, scores)} == {
        mlflow_key(name): value for name, value in scores.items()
    }
    assert data.params[mlflow_key(score("Ki67<14%"))] == str(LABELS.index("Ki67<14%"))
    assert len(client.list_artifacts(run.run_id, "images")) == 6
    [model] = client.search_logged_models([tracker.experiment_id])
    assert {metric.key: metric.value for metric in model.metrics} == data.metrics
    assert len(client.get_metric_history(run.run_id, mlflow_key(score("..")))) == 1
    for label in ("Nevus [dysplastic]", "a`b", 'the "rest"', "..", "x" * 300 + "b"):
        order = [{"field_name": f"metrics.{mlflow_key(score(label))}", "ascending": True}]
        [model] = client.search_logged_models([tracker.experiment_id], order_by=order)
        assert (f"models:/{model.model_id}", model.status.value) == (model_uri, "READY")
        query = f"metrics.`{mlflow_key(score(label))}` = {scores[score(label)]}"
        assert [found.info.run_id for found in client.search_runs([tracker.experiment_id], query)] == [run.run_id]


@pytest.mark.parametrize("name", ["[red] run", "data\udc80", "x" * 400, "a/b//c", "50%", "run\x00name"])
def test_runs_experiments_and_tags_take_any_words(uri: str, name: str) -> None:
    tracker = Tracker(uri, f"of {name}")
    run = tracker.start_run(name, tags={"fedray.dataset": name, f"tag {name}": "yes"})
    run.describe(name)
    run.finish("FINISHED")
    found = MlflowClient(uri).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == name[:250].replace("\udc80", r"\udc80").replace("\x00", r"\0")
    assert found.data.tags[mlflow_key(f"tag {name}")] == "yes"


def test_what_mlflow_refuses_takes_nothing_with_it(tracker: Tracker, uri: str) -> None:
    """Metrics that another server, or a later MLflow, refuses: here names that were not spelled for it."""
    run = tracker.start_run("run")
    values = {"good": 1.0, "a//b": 2.0, "Nevus (x)": 3.0, "fine": 4.0}
    run._outbox.add_metrics([Metric(name, value, 5, 1) for name, value in values.items()])
    run.log_params({"after": "that"})
    with pytest.raises(TrackingError) as caught:
        run.finish("FINISHED")
    message = str(caught.value)
    assert "a//b (" in message and "Nevus (x) (" in message and "good" not in message
    assert "server running" not in message and "within" not in message
    found = MlflowClient(uri).get_run(run.run_id)
    assert (found.data.metrics, found.data.params) == ({"good": 1.0, "fine": 4.0}, {"after": "that"})
    assert found.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (RestException({"error_code": "INTERNAL_ERROR", "message": "boom"}), "The server is there"),
        (ConnectionError("Connection refused"), "Is the server running"),
    ],
)
def test_a_delivery_that_fails_holds_up_the_rest_only_where_nobody_answers(monkeypatch, error, blamed):
    sent: list[str] = []

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setitem(SENDERS, "bad", fail)
    monkeypatch.setitem(SENDERS, "good", lambda client, run_id, content, files: sent.append(content["what"]))
    outbox = Outbox(None, "run", "http://host")
    outbox.add(Delivery("bad", "bad"))
    for what in ("first", "second"):
        outbox.add(Delivery(what, "good", {"what": what}))
    with pytest.raises(TrackingError, match=f"bad.* could not be sent.*{blamed}"):
        outbox.drain(0.0)
    assert sent == (["first", "second"] if blamed == "The server is there" else sent)


@pytest.mark.parametrize(
    "error", [TypeError("int64 is not JSON serializable"), UnicodeEncodeError("utf-8", "", 0, 1, "")]
)
def test_what_can_never_be_sent_is_given_up_at_once(monkeypatch, error):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setitem(SENDERS, "bad", fail)
    outbox = Outbox(None, "run", "http://host")
    outbox.add(Delivery("bad", "bad"))
    with pytest.raises(TrackingError, match="did not take everything of run run: bad"):
        outbox.drain(60.0)
