"""The server as compose.yaml runs it: logins, PostgreSQL and an S3, started by serve.sh."""

import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from moto.server import ThreadedMotoServer
from PIL import Image

from fedray.tracking import Tracker, TrackingError, check_tracking
from tests.support import logging_job
from tests.support.compose import interpolated, load_compose
from tests.support.servers import (
    ADMIN_PASSWORD,
    MLFLOW,
    REPOSITORY,
    Postgres,
    ServedMlflow,
    run_script,
    script_environment,
)
from tests.support.spaces import METRIC, write_trials

NUM_ROUNDS = 6  # the server is away for three of them
USER, USER_PASSWORD = "ada", "analytical engine"
PUBLIC_NAME = "mlflow.example.org"


@pytest.fixture(scope="module")
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedMlflow]:
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    environment = compose_environment(postgres, f"http://{host}:{port}")
    server = ServedMlflow(tmp_path_factory.mktemp("mlflow"), environment)
    server.environment["MLFLOW_SERVER_ALLOWED_HOSTS"] += f",{PUBLIC_NAME}"
    try:
        create_bucket(server)
        server.start()
        yield server
    finally:
        server.kill()
        store.stop()


def compose_environment(postgres: Postgres, store: str) -> dict[str, str]:
    """Return what compose.yaml gives the server, with the addresses of this machine's PostgreSQL and S3."""
    values = {
        "POSTGRES_PASSWORD": postgres.password,
        "S3_ACCESS_KEY": "access",
        "S3_SECRET_KEY": "very-secret-key",
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "signing-key",
    }
    compose = load_compose()["services"]["mlflow"]["environment"]
    environment = {name: interpolated(value, values) for name, value in compose.items()}
    address = environment["MLFLOW_BACKEND_STORE_URI"]
    assert address == "postgresql://mlflow@postgres:5432/mlflow"
    environment["MLFLOW_BACKEND_STORE_URI"] = postgres.create_database("mlflow_served")
    environment["MLFLOW_S3_ENDPOINT_URL"] = store
    environment["MLFLOW_HOST"] = "127.0.0.1"
    return environment | {"AWS_EC2_METADATA_DISABLED": "true"}


def create_bucket(server: ServedMlflow) -> None:
    for _ in range(2):  # the second time it stands
        command = [sys.executable, MLFLOW / "create_bucket.py"]
        subprocess.run(command, env=server.environment, check=True, capture_output=True)


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)


def test_nothing_secret_shows_in_the_process_list_or_to_other_accounts(server, postgres) -> None:
    shown = server.command_lines()
    for secret in (ADMIN_PASSWORD, postgres.password, "very-secret-key", "signing-key"):
        assert secret not in shown
    config = server.folder / "data" / "auth.ini"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    log = (server.folder / "log").read_text()
    assert ADMIN_PASSWORD not in log and postgres.password not in log


def test_a_job_without_the_right_login_is_refused_at_its_start(server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_tracking(server.uri)
    remedy = r"asks for a login \(401\). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a wrong password")
    with pytest.raises(TrackingError, match=remedy):
        check_tracking(server.uri)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    with pytest.raises(TrackingError, match=remedy):
        check_tracking(server.uri)
    for page in ("", "get-artifact?path=config.yaml&run_uuid=x", "api/2.0/mlflow/experiments/search?max_results=1"):
        assert requests.get(f"{server.uri}/{page}", timeout=30).status_code == 401
    assert requests.get(f"{server.uri}/health", timeout=30).status_code == 200


def test_only_the_allowed_names_are_answered(server) -> None:
    search = {"method": "GET", "path": "2.0/mlflow/experiments/search?max_results=1"}
    assert server.request(**search, headers={"Host": PUBLIC_NAME}) == 200
    assert server.request(**search, headers={"Host": "attacker.example.org"}) == 403
    # What the UI in a browser sends, from the page under this name and from somebody else's.
    post = {"method": "POST", "path": "2.0/mlflow/runs/search", "json": {"experiment_ids": ["0"]}}
    assert server.request(**post, headers={"Host": PUBLIC_NAME, "Origin": f"https://{PUBLIC_NAME}"}) == 200
    assert server.request(**post, headers={"Host": PUBLIC_NAME, "Origin": "https://attacker.example.org"}) == 403


def test_a_user_sees_what_was_granted_and_deletes_nothing_of_it(server, monkeypatch) -> None:
    tracker = Tracker(server.uri, "common")
    of_admin = tracker.start_run("of admin").run_id  # the experiment is admin's
    add_user(server)
    user = {"username": USER, "password": USER_PASSWORD}
    assert server.request("POST", "2.0/mlflow/users/create", USER, USER_PASSWORD, json=user) == 403
    as_user(monkeypatch)
    check_tracking(server.uri)
    with pytest.raises(TrackingError, match=r"'common' is not open to this login. Set tracking.experiment to a name"):
        Tracker(server.uri, "common").start_run("of a user")
    own = Tracker(server.uri, "of ada").start_run("of a user")
    own.finish("FINISHED")
    seen = [each.name for each in MlflowClient(server.uri).search_experiments()]
    assert "of ada" in seen and "common" not in seen
    with pytest.raises(MlflowException, match="Permission denied"):
        MlflowClient(server.uri).get_run(of_admin)

    grant = {"username": USER, "resource_type": "experiment", "resource_id": tracker.experiment_id}
    assert server.request("POST", "3.0/mlflow/users/permissions/grant", json=grant | {"permission": "EDIT"}) == 200
    run = Tracker(server.uri, "common").start_run("of a user", params={"seed": 1})
    run.log_image(np.zeros((8, 8, 3), np.uint8), "samples", step=1)
    run.finish("FINISHED")
    assert len(MlflowClient(server.uri).list_artifacts(run.run_id, "images")) == 2
    delete = {"method": "POST", "path": "2.0/mlflow/runs/delete", "json": {"run_id": of_admin}}
    assert server.request(**delete, user=USER, password=USER_PASSWORD) == 403


def test_wrong_passwords_are_slowed_down_and_the_log_says_who_did_what(server) -> None:
    search, name = "2.0/mlflow/experiments/search?max_results=1", "mallory\nadmin from 10.0.0.1: GET /x"
    for password in map(str, range(5)):
        assert server.request("GET", search, name, password) == 401
    last = requests.get(f"{server.uri}/api/{search}", auth=(name, "another"), timeout=30)
    assert last.status_code == 429 and int(last.headers["Retry-After"]) >= 1
    artifact = "2.0/mlflow-artifacts/artifacts/0/x/artifacts/file"  # MLflow asks for its login on another way
    asked = [server.request("GET", artifact, "trudy", str(attempt)) for attempt in range(6)]
    assert asked == [401] * 5 + [429]
    assert server.request("GET", search) == 200, "others do not wait"
    access = [line for line in (server.folder / "log").read_text().splitlines() if " access " in line]
    assert any(line.endswith("admin from 127.0.0.1: GET /api/2.0/mlflow/experiments/search") for line in access)
    forged = [line for line in access if "mallory" in line]
    assert sum("wrong login" in line for line in forged) == 5 and all("mallory%0Aadmin" in line for line in forged)
    assert not [line for line in access if ADMIN_PASSWORD in line]


def test_a_user_gets_a_new_password_and_a_short_one_is_refused(server) -> None:
    add_user(server, "grace", "the first compiler")
    assert add_user(server, "grace", "the second compiler").stdout == "grace has a new password\n"
    who = "2.0/mlflow/users/current"
    assert server.request("GET", who, "grace", "the second compiler") == 200
    refused = add_user(server, "grace", "short")
    assert refused.returncode == 1 and "at least 12 characters, but this one has 5" in refused.stderr


def add_user(server, name: str = USER, password: str = USER_PASSWORD) -> "subprocess.CompletedProcess[str]":
    environment = script_environment() | {
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    command = [sys.executable, MLFLOW / "add_user.py", name]
    return subprocess.run(command, env=environment, input=f"{password}\n", capture_output=True, text=True, timeout=100)


def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", USER_PASSWORD)


def test_jobs_lose_nothing_when_the_server_is_killed(server) -> None:
    names = ["run 0", "run 1"]
    jobs = [start_job(server.uri, name) for name in names]
    try:
        assert [job.stdout.readline() for job in jobs] == ["half\n"] * len(jobs)
        server.kill()
        for job in jobs:
            job.stdin.write("go on\n")
            job.stdin.flush()
        logged = [job.stdout.readline() for job in jobs]  # all their rounds, while there is no server
        assert logged == ["logged\n"] * len(jobs)
        server.start()
        assert [job.wait(120) for job in jobs] == [0] * len(jobs), [job.stderr.read() for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("away")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == names
    for name, run in runs.items():
        check_run(client, name, run)


@pytest.mark.timeout(600)
def test_a_sweep_loses_no_metric_when_the_server_is_away_for_three_rounds(
    server, small_store, tmp_path: Path, ray_address: str
) -> None:
    write_trials(small_store, tmp_path / "space.yaml", num_trials=1, num_rounds=NUM_ROUNDS)
    script = REPOSITORY / "tests" / "support" / "run_small_sweep.py"
    command = [sys.executable, str(script), str(tmp_path / "space.yaml"), str(tmp_path / "out"), server.uri]
    command += [ray_address]
    sweep = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        shown = [next(line for line in sweep.stdout if " round 2: " in line)]
        server.kill()
        shown += [next(line for line in sweep.stdout if " round 5: " in line)]  # training goes on without it
        server.start()
        shown += sweep.stdout
        assert sweep.wait(240) == 0, "".join(shown)
    finally:
        sweep.kill()
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("fedray")
    runs = client.search_runs([experiment.experiment_id])
    (run,) = (run for run in runs if "mlflow.parentRunId" in run.data.tags)
    assert run.info.status == "FINISHED"
    assert {METRIC, "loss/generator/loss", "round/clients", "round-seconds"} <= set(run.data.metrics)
    for name in set(run.data.metrics) - {"rank", "score", "scored-round"}:  # given once, at the end
        steps = [entry.step for entry in client.get_metric_history(run.info.run_id, name)]
        assert steps == list(range(1, NUM_ROUNDS + 1)), name


def start_job(uri: str, name: str) -> "subprocess.Popen[str]":
    environment = script_environment() | {
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
        "OMP_NUM_THREADS": "1",
    }
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "tests.support.logging_job", uri, "away", name]
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, text=True, **pipes)


def check_run(client: MlflowClient, name: str, run: Any) -> None:
    assert run.info.status == "FINISHED"
    assert run.data.params == {key: str(value) for key, value in logging_job.PARAMS.items()}
    for key in logging_job.METRICS:
        logged = [(entry.step, entry.value) for entry in client.get_metric_history(run.info.run_id, key)]
        assert logged == [(r, logging_job.metric(key, name, r)) for r in range(1, logging_job.ROUNDS + 1)]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")] == ["figures/curve.png"]
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images") if file.path.endswith(".png")]
    (path,) = images
    np.testing.assert_array_equal(
        Image.open(client.download_artifacts(run.info.run_id, path)), logging_job.picture(name)
    )


def test_a_restored_backup_holds_everything(server, postgres, tmp_path: Path, monkeypatch) -> None:
    client = MlflowClient(server.uri)
    deleted = Tracker(server.uri, "away").start_run("deleted").run_id
    client.delete_run(deleted)
    backup = tmp_path / "backups" / "monday"
    made = run_script("backup.sh", backup, **server.environment)
    assert made.returncode == 0, made.stderr
    assert re.search(r"\d+ files, [\d.]+ MB, written to ", made.stdout)
    assert sorted(path.name for path in backup.iterdir()) == ["artifacts", "database.dump", "manifest.json"]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700

    again = run_script("restore.sh", backup, **server.environment)
    assert again.returncode == 1 and "is not empty; stop the server" in again.stderr
    assert postgres.password not in again.stderr

    # Into another PostgreSQL database and, as a backup is tied to no store, a folder instead of S3.
    place = {
        "MLFLOW_BACKEND_STORE_URI": postgres.create_database("mlflow_restored"),
        "PGPASSWORD": postgres.password,
        "MLFLOW_SERVER_DATA": str(tmp_path / "restored"),
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "restored" / "artifacts"),
    }
    restored = run_script("restore.sh", backup, **place)
    assert restored.returncode == 0, restored.stderr
    copy = ServedMlflow(tmp_path / "restored", place)
    try:
        copy.start()
        expected = everything(server.uri)
        assert len(expected) >= 7 and everything(copy.uri) == expected
        experiments = "2.0/mlflow/experiments/search?max_results=1"
        assert copy.request("GET", experiments, USER, USER_PASSWORD) == 200
        assert copy.request("GET", experiments, USER, "a wrong password") == 401
    finally:
        copy.kill()


def everything(uri: str) -> dict[str, Any]:
    """Return all that is known of all runs, deleted ones too, and their artifacts' checksums."""
    client = MlflowClient(uri)
    experiments = client.search_experiments(view_type=ViewType.ALL)
    runs = client.search_runs([experiment.experiment_id for experiment in experiments], "", ViewType.ALL)
    return {run.info.run_id: describe(client, run) for run in runs}


def describe(client: MlflowClient, run: Any) -> dict[str, Any]:
    info = run.info
    histories = {key: client.get_metric_history(info.run_id, key) for key in run.data.metrics}
    if info.lifecycle_stage == "active":
        folder = Path(client.download_artifacts(info.run_id, ""))
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    else:
        files = {}
    return {
        "info": (info.run_name, info.status, info.start_time, info.end_time, info.lifecycle_stage, info.experiment_id),
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": {key: [(m.step, m.value, m.timestamp) for m in history] for key, history in histories.items()},
        "artifacts": {str(path): hashlib.sha256(content).hexdigest() for path, content in files.items()},
    }


def test_serve_refuses_what_would_be_unsafe(tmp_path: Path) -> None:
    def refused(*arguments: str, **environment: str) -> str:
        done = run_script("serve.sh", *arguments, MLFLOW_SERVER_DATA=str(tmp_path), **environment)
        assert done.returncode == 2, done.stderr
        return done.stderr

    password = {"MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD}
    assert "set MLFLOW_AUTH_ADMIN_PASSWORD" in refused()
    assert "at least 12 characters, but has 5" in refused(MLFLOW_AUTH_ADMIN_PASSWORD="short")
    assert "takes no arguments" in refused("--backend-store-uri", "postgresql://user:secret@host/db")
    assert "needs MLFLOW_SERVER_ALLOWED_HOSTS" in refused(MLFLOW_HOST="0.0.0.0", **password)
    beyond = {"MLFLOW_HOST": "0.0.0.0", "MLFLOW_SERVER_ALLOWED_HOSTS": "host:5000"}
    assert "is for 127.0.0.1 alone" in refused(MLFLOW_SERVER_LOGIN="off", **beyond)
    assert "must be READ, USE" in refused(MLFLOW_SERVER_DEFAULT_PERMISSION="ALL", **password)
    assert os.listdir(tmp_path) == []


def test_serve_ends_with_its_workers_on_a_signal(server) -> None:
    """What `docker compose stop` and Ctrl-C do; the last test of this server."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) in (0, 1, -signal.SIGTERM)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.uri}/health", timeout=5)


def test_by_itself_it_serves_a_sqlite_file_and_a_folder(tmp_path: Path) -> None:
    server = ServedMlflow(tmp_path, {"MLFLOW_SERVER_LOGIN": "off"})
    try:
        server.start()
        run = Tracker(server.uri, "fedray").start_run("run")
        run.log_image(np.zeros((8, 8, 3), np.uint8), "samples", step=1)
        run.finish("FINISHED")
        assert sorted(os.listdir(tmp_path / "data")) == ["artifacts", "mlflow.db"]
        assert len(list((tmp_path / "data" / "artifacts").rglob("samples*.png"))) == 1
    finally:
        server.kill()
