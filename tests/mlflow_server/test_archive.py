"""backup.sh and restore.sh on their own; test_server.py has them on a server's database."""

import json
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.loopback import wait_until
from tests.support.servers import MLFLOW, run_script, script_environment
from tests.support.storage import Bucket

FILES = {"1/run/artifacts/config.yaml": b"seed: 1\n", "1/run/artifacts/images/a+b#1.png": bytes(range(256)) * 99}


class Place:
    """What a server keeps: a SQLite file and a folder of artifacts, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database, self.artifacts = folder, folder / "mlflow.db", folder / "artifacts"
        self.environment = {"MLFLOW_SERVER_DATA": str(folder)}

    def fill(self) -> None:
        self.folder.mkdir()
        with sqlite3.connect(self.database) as database:
            database.execute("CREATE TABLE runs (name)")
            database.execute("INSERT INTO runs VALUES ('first')")
        for name, content in FILES.items():
            (self.artifacts / name).parent.mkdir(parents=True, exist_ok=True)
            (self.artifacts / name).write_bytes(content)

    def rows(self) -> list[tuple[str]]:
        return sqlite3.connect(self.database).execute("SELECT name FROM runs").fetchall()

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.artifacts.rglob("*") if path.is_file())
        return {path.relative_to(self.artifacts).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def filled(tmp_path: Path) -> Place:
    place = Place(tmp_path / "filled")
    place.fill()
    return place


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that tests copy."""
    place = Place(tmp_path_factory.mktemp("pristine") / "filled")
    place.fill()
    made = run_script("backup.sh", place.folder.parent / "backup", **place.environment)
    assert made.returncode == 0, made.stderr
    return place.folder.parent / "backup"


@pytest.fixture
def backup(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "backups" / "one"))


def test_sqlite_and_a_folder_come_back(filled: Place, tmp_path: Path) -> None:
    backup = tmp_path / "backups" / "one"
    made = run_script("backup.sh", backup, **filled.environment)
    assert made.returncode == 0, made.stderr
    assert [path.name for path in backup.parent.iterdir()] == ["one"]
    again = run_script("backup.sh", backup, **filled.environment)
    assert again.returncode == 1 and "exists already" in again.stderr
    place = Place(tmp_path / "new")
    restored = run_script("restore.sh", backup, **place.environment)
    assert restored.returncode == 0, restored.stderr
    assert place.rows() == [("first",)] and place.files() == FILES
    again = run_script("restore.sh", backup, **place.environment)
    assert again.returncode == 1 and "mlflow.db is not empty" in again.stderr


def test_a_backup_moves_between_a_folder_and_s3(backup: Path, bucket: Bucket, tmp_path: Path) -> None:
    def at_s3(name: str) -> dict[str, str]:
        places = {"MLFLOW_SERVER_DATA": str(tmp_path / name), "MLFLOW_ARTIFACTS_DESTINATION": f"{bucket.uri}/art"}
        return bucket.environment | places

    assert run_script("restore.sh", backup, **at_s3("first")).returncode == 0
    assert bucket.names() == {f"art/{name}" for name in FILES}
    refused = run_script("restore.sh", backup, **at_s3("second"))
    assert refused.returncode == 1 and f"{bucket.uri}/art/ is not empty" in refused.stderr
    from_s3 = tmp_path / "backups" / "from-s3"
    assert run_script("backup.sh", from_s3, **at_s3("first")).returncode == 0
    manifests = [json.loads((folder / "manifest.json").read_text())["files"] for folder in (backup, from_s3)]
    artifacts = [{name: file for name, file in files.items() if "artifacts/" in name} for files in manifests]
    assert artifacts[0] == artifacts[1] and len(artifacts[0]) == len(FILES)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda backup: (backup / "artifacts/1/run/artifacts/config.yaml").write_text("seed: 2\n"),
    "missing": lambda backup: (backup / "database.sqlite").unlink(),
    "added": lambda backup: (backup / "artifacts/1/evil.py").write_text("pass"),
    "no manifest": lambda backup: (backup / "manifest.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_refused_before_anything_is_touched(damage: str, backup: Path, tmp_path: Path) -> None:
    DAMAGES[damage](backup)
    place = Place(tmp_path / "new")
    refused = run_script("restore.sh", backup, **place.environment)
    assert refused.returncode == 1
    assert ("is no backup" if damage == "no manifest" else "is damaged") in refused.stderr
    assert list(place.folder.iterdir()) == []


def test_the_database_is_copied_as_it_is_at_one_moment(filled: Place, tmp_path: Path) -> None:
    """Every transaction writes into two tables; a copy in between would hold one row more in the first."""
    stop, database = threading.Event(), sqlite3.connect(filled.database, check_same_thread=False)
    database.execute("CREATE TABLE copies (name)")

    def write() -> None:
        while not stop.is_set():
            with database:
                database.execute("INSERT INTO runs VALUES (randomblob(2000))")
                database.execute("INSERT INTO copies VALUES (randomblob(2000))")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = run_script("backup.sh", tmp_path / "backup", **filled.environment)
    finally:
        stop.set()
        writer.join()
        database.close()
    assert made.returncode == 0, made.stderr
    with sqlite3.connect(tmp_path / "backup" / "database.sqlite") as copy:
        counts = [copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("runs", "copies")]
    assert counts[0] == counts[1] + 1 > 2


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """pg_dump or pg_restore as a script of the test's own."""

    def make(name: str, script: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return {"PATH": f"{folder}:{script_environment()['PATH']}"}

    yield make


POSTGRES = {"MLFLOW_BACKEND_STORE_URI": "postgresql://user:pass%40word@127.0.0.1:1/mlflow"}


def test_a_failed_or_ended_backup_leaves_nothing(filled: Place, tmp_path: Path, stand_ins) -> None:
    folder = tmp_path / "backups"
    failing = stand_ins(
        "pg_dump",
        'echo "$@"; echo $PGPASSWORD >"$0.password"; for file; do :; done; '
        'echo half >"${file#--file=}"; echo broken >&2; exit 1',
    )
    failed = run_script("backup.sh", folder / "one", **(filled.environment | POSTGRES | failing))
    assert failed.returncode == 1 and "pg_dump failed" in failed.stderr and "broken" in failed.stderr
    assert "pass@word" not in failed.stderr and "pass%40word" not in failed.stderr
    assert (tmp_path / "bin" / "pg_dump.password").read_text() == "pass@word\n"
    assert list(folder.iterdir()) == []

    hanging = stand_ins("pg_dump", f"echo started >{tmp_path}/started; exec sleep 600")
    environment = script_environment() | filled.environment | POSTGRES | hanging
    process = subprocess.Popen([MLFLOW / "backup.sh", folder / "two"], env=environment)
    wait_until((tmp_path / "started").exists, "pg_dump to be called")
    assert len(list(folder.iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143 and list(folder.iterdir()) == []


def test_a_failed_restore_takes_the_artifacts_away_again(backup: Path, tmp_path: Path, postgres, stand_ins) -> None:
    manifest = backup / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"sqlite"', '"postgresql"').replace(".sqlite", ".dump"))
    shutil.move(backup / "database.sqlite", backup / "database.dump")
    place = Place(tmp_path / "new")
    target = {
        "MLFLOW_BACKEND_STORE_URI": postgres.create_database("never_filled"),
        "PGPASSWORD": postgres.password,
        **place.environment,
    }
    failed = run_script("restore.sh", backup, **target)  # SQLite's file is nothing that pg_restore knows
    assert failed.returncode == 1 and "pg_restore failed" in failed.stderr
    assert place.files() == {}
    mixed = run_script("restore.sh", backup, **place.environment)
    assert mixed.returncode == 1 and "is of a postgresql database" in mixed.stderr
