"""An S3 on loopback: moto's server in this process."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from moto.server import ThreadedMotoServer


class Bucket:
    """A bucket of its own for each test, and what was asked of it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint, self.name = endpoint, f"bucket-{uuid.uuid4().hex[:8]}"
        self.requests = _Requests()
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=self.name)

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to reach it."""
        return {"AWS_ENDPOINT_URL": self.endpoint, **CREDENTIALS}

    def names(self) -> set[str]:
        listed = boto3.client("s3", endpoint_url=self.endpoint).list_objects_v2(Bucket=self.name)
        return {item["Key"] for item in listed.get("Contents", []) if not item["Key"].endswith("/")}

    def writes(self) -> list[str]:
        """List the files that were written, in their order."""
        puts = (line.split(f"/{self.name}/")[1] for line in self.requests.lines if f"PUT /{self.name}/" in line)
        return [put.split(" ")[0].split("?")[0] for put in puts]

    def count_writes(self) -> int:
        return len(self.writes())

    def count_reads(self, name: str) -> int:
        """Count the requests for a file's bytes."""
        return sum(f"GET /{self.name}/" in line and f"/{name} " in line for line in self.requests.lines)


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",  # without it, credentials are looked for at an address of the cloud
}


class _Requests(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def local_s3() -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=True)
    server.start()
    log = logging.getLogger("werkzeug")
    level = log.level
    log.setLevel(logging.INFO)
    try:
        host, port = server.get_host_and_port()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **CREDENTIALS}.items():
                patch.setenv(name, value)
            bucket = Bucket(f"http://{host}:{port}")
            log.addHandler(bucket.requests)
            yield bucket
            log.removeHandler(bucket.requests)
    finally:
        log.setLevel(level)
        server.stop()
