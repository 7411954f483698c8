import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import interpolated, load_compose, problems, variables
from tests.support.servers import MLFLOW, REPOSITORY

MUTATIONS = {
    "unknown key": (("services", "mlflow", "imagee"), "x:1.0", "imagee"),
    "wrong type": (("services", "mlflow", "ports"), "5000:5000", "services.mlflow.ports"),
    "floating tag": (("services", "s3", "image"), "chrislusf/seaweedfs:latest", "not pinned"),
    "no tag": (("services", "postgres", "image"), "postgres", "not pinned"),
    "no digest": (("services", "postgres", "image"), "postgres:17.7", "not pinned"),
    "major version only": (("services", "postgres", "image"), "postgres:17", "not pinned"),
    "no healthcheck": (("services", "postgres", "healthcheck"), {"disable": True}, "postgres: no healthcheck"),
    "one-shot that restarts": (("services", "bucket", "restart"), "always", "bucket: no healthcheck"),
    "every interface": (("services", "mlflow", "ports"), ["5000:5000"], "beyond 127.0.0.1"),
    "every interface by default": (("services", "s3", "ports"), ["${BIND:-0.0.0.0}:8333:8333"], "beyond 127.0.0.1"),
    "fixed password": (("services", "postgres", "environment", "POSTGRES_PASSWORD"), "mlflow", "POSTGRES_PASSWORD"),
    "default password": (("services", "mlflow", "environment", "PGPASSWORD"), "${P:-mlflow}", "PGPASSWORD"),
    "password that may be empty": (("services", "s3", "environment", "AWS_SECRET_ACCESS_KEY"), "${S}", "AWS_SECRET"),
}


def test_the_compose_file_follows_the_specification_and_our_rules() -> None:
    assert problems(load_compose()) == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_compose_file_that_is_wrong_or_unsafe_is_found(mutation: str) -> None:
    path, value, expected = MUTATIONS[mutation]
    compose = copy.deepcopy(load_compose())
    inner: Any = compose
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert any(expected in problem for problem in problems(compose)), problems(compose)


def test_every_variable_stands_in_the_example_without_a_value() -> None:
    used = variables((MLFLOW / "compose.yaml").read_text())
    lines = (MLFLOW / ".env.example").read_text().splitlines()
    assert sorted(line for line in lines if line and not line.startswith("#")) == sorted(f"{name}=" for name in used)
    required = {name for name, (operator, _) in used.items() if operator == ":?"}
    with pytest.raises(KeyError):
        interpolated("${POSTGRES_PASSWORD:?needed}", {})
    readme = (MLFLOW / "README.md").read_text()
    assert required and all(f"`{name}`" in readme for name in used)


def test_the_image_has_the_versions_of_the_lock() -> None:
    ours, image = (pins(folder / "requirements.lock") for folder in (REPOSITORY, MLFLOW))
    assert {"mlflow", "psycopg2-binary", "boto3"} <= image.keys() & ours.keys()
    assert {name: version for name, version in image.items() if ours.get(name, version) != version} == {}
    images = {service["image"] for service in load_compose()["services"].values()}
    assert f"fedray-mlflow:{image['mlflow']}" in images
    assert "--no-deps --require-hashes -r requirements.lock" in (MLFLOW / "Dockerfile").read_text()


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.!+-]+)", lock.read_text(), re.MULTILINE))


def test_the_image_and_the_database_have_the_same_postgresql() -> None:
    server = re.fullmatch(r"postgres:(\d+)\..*", load_compose()["services"]["postgres"]["image"])
    client = re.search(r"postgresql-client-(\d+)", (MLFLOW / "Dockerfile").read_text())
    assert server and client and server[1] == client[1]


def test_both_deployments_have_the_same_postgresql() -> None:
    text = (REPOSITORY / "kubernetes" / "base" / "mlflow" / "postgres.yaml").read_text()
    assert f"image: {load_compose()['services']['postgres']['image']}\n" in text
    assert re.search(r"^FROM \S+:3\.11\.\d+\S*@sha256:[0-9a-f]{64}$", (MLFLOW / "Dockerfile").read_text(), re.MULTILINE)


def test_the_folder_does_not_shadow_the_package() -> None:
    assert not (MLFLOW / "__init__.py").exists()
