"""Back up and restore what the MLflow server keeps: its database (runs and users) and its artifacts.

A backup is a folder: ``database.dump`` (pg_dump's custom format) or ``database.sqlite``, ``artifacts/``, and
``manifest.json`` with the size and SHA-256 of every file. It is there whole or not at all.
"""

import argparse
import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import sqlalchemy
from sqlalchemy.engine import URL, make_url

FORMAT = 1
MANIFEST = "manifest.json"
ARTIFACTS = "artifacts"
_CHUNK_BYTES = 1 << 20


class ArchiveError(RuntimeError):
    """A backup cannot be made or restored; the message says why and what to do."""


def backup(target: Path, database_uri: str, artifacts_uri: str) -> dict[str, Any]:
    """Write a new backup folder and return its manifest.

    The database comes first: every artifact that its runs name was there before, so that it is copied too.
    """
    if target.exists():
        raise ArchiveError(f"{target} exists already; give the name of a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    partial.mkdir(mode=0o700)
    try:
        database, artifacts = database_of(database_uri), artifacts_of(artifacts_uri)
        database.dump(partial / database.file_name)
        artifacts.copy_to(partial / ARTIFACTS)
        manifest = {
            "format": FORMAT,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "mlflow": importlib.metadata.version("mlflow"),
            "database": database.kind,
            "files": _checksums(partial),
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        os.sync()  # before the folder gets its name: a name stands for a whole backup, also after a power cut
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def restore(source: Path, database_uri: str, artifacts_uri: str) -> dict[str, Any]:
    """Check a backup, and that nothing is in its way, then put it in place and return its manifest."""
    manifest = verify(source)
    database, artifacts = database_of(database_uri), artifacts_of(artifacts_uri)
    if manifest["database"] != database.kind:
        raise ArchiveError(
            f"{source} is of a {manifest['database']} database, but MLFLOW_BACKEND_STORE_URI names a {database.kind} "
            "one; restore into the same kind"
        )
    if not database.is_empty():
        raise ArchiveError(
            f"the database {database} is not empty; stop the server, and restore into a new, empty database"
        )
    if not artifacts.is_empty():
        raise ArchiveError(f"the artifacts' place {artifacts} is not empty; give another one, or empty it")
    try:
        artifacts.copy_from(source / ARTIFACTS)
        database.load(source / database.file_name)  # last, and in one transaction: with it the restore is done
    except BaseException:
        artifacts.clear()
        raise
    return manifest


def verify(source: Path) -> dict[str, Any]:
    """Return the manifest of a backup whose files are all there and unchanged."""
    try:
        manifest: dict[str, Any] = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{source} is no backup: {error}") from None
    if manifest.get("format") != FORMAT:
        raise ArchiveError(f"{source} has format {manifest.get('format')}, but this script reads {FORMAT}")
    found, expected = _checksums(source), manifest["files"]
    wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ArchiveError(f"{source} is damaged: {', '.join(wrong[:5])}{more} differ from {MANIFEST}")
    return manifest


def _checksums(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _checksum(path) for path in files}


def _checksum(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


class Database(Protocol):
    """A database of MLflow, printed without its password."""

    kind: str
    file_name: str

    def dump(self, path: Path) -> None:
        """Write what the database holds at one moment, while others go on writing."""

    def is_empty(self) -> bool:
        """Say whether the database holds no table."""

    def load(self, path: Path) -> None:
        """Fill the empty database, wholly or not at all."""


def database_of(uri: str) -> Database:
    """Return the database of a SQLAlchemy address."""
    url = make_url(uri)
    if url.get_backend_name() == "postgresql":
        return Postgres(url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Sqlite(Path(url.database))
    raise ArchiveError(
        f"MLFLOW_BACKEND_STORE_URI must be sqlite:////PATH or postgresql://..., but is {url.render_as_string()}"
    )


class Sqlite:
    """A database in a file."""

    kind = "sqlite"
    file_name = "database.sqlite"

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self.path = path

    def __str__(self) -> str:
        """Show the file."""
        return str(self.path)

    def dump(self, path: Path) -> None:
        """Copy it page by page; SQLite begins anew where somebody writes in between."""
        if not self.path.is_file():
            raise ArchiveError(f"there is no database {self.path}")
        opened = sqlite3.connect(self.path, timeout=60), sqlite3.connect(path)
        with contextlib.closing(opened[0]) as source, contextlib.closing(opened[1]) as copy:
            source.backup(copy)
            if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise ArchiveError(f"the database {self.path} is damaged: PRAGMA integrity_check fails")

    def is_empty(self) -> bool:
        """Say whether there is no file, or one without tables."""
        if not self.path.exists():
            return True
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            return database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)

    def load(self, path: Path) -> None:
        """Copy the file beside its place, then rename it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial-{os.getpid()}")
        try:
            shutil.copyfile(path, partial)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)


class Postgres:
    """A PostgreSQL database; pg_dump and pg_restore get the password through their environment."""

    kind = "postgresql"
    file_name = "database.dump"

    def __init__(self, url: URL) -> None:
        """Take a SQLAlchemy address apart for libpq."""
        self.url = url
        self._environment = dict(os.environ)
        if url.password:
            self._environment["PGPASSWORD"] = str(url.password)

    def __str__(self) -> str:
        """Show the address without its password."""
        return self.url.render_as_string(hide_password=True)

    def dump(self, path: Path) -> None:
        """Run pg_dump: one consistent snapshot, compressed."""
        self._run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={path}")

    def is_empty(self) -> bool:
        """Say whether no schema of its own holds a table."""
        engine = sqlalchemy.create_engine(self.url)
        try:
            with engine.connect() as connection:
                query = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
                return connection.execute(sqlalchemy.text(query)).scalar() == 0
        except sqlalchemy.exc.OperationalError as error:
            raise ArchiveError(f"the database {self} cannot be opened: {error.orig}") from None
        finally:
            engine.dispose()

    def load(self, path: Path) -> None:
        """Run pg_restore in one transaction."""
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        self._run("pg_restore", *options, str(path))

    def _run(self, program: str, *arguments: str) -> None:
        import psycopg2.extensions

        url = self.url
        parts = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database, **url.query}
        parts.pop("password", None)
        address = psycopg2.extensions.make_dsn(**{name: value for name, value in parts.items() if value is not None})
        # No prompt: this may run at night.
        command = [program, "--no-password", f"--dbname={address}", *arguments]
        try:
            done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        except FileNotFoundError:
            raise ArchiveError(f"{program} is not installed (Debian: postgresql-client)") from None
        if done.returncode != 0:
            raise ArchiveError(f"{program} failed for {self}: {done.stderr.strip()}")


class Artifacts(Protocol):
    """Where the server keeps artifacts."""

    def copy_to(self, folder: Path) -> None:
        """Copy all of them into a new folder."""

    def is_empty(self) -> bool:
        """Say whether there are none."""

    def copy_from(self, folder: Path) -> None:
        """Fill the empty place."""

    def clear(self) -> None:
        """Take away again what ``copy_from`` has brought."""


def artifacts_of(uri: str) -> Artifacts:
    """Return the artifacts of MLFLOW_ARTIFACTS_DESTINATION."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        return Bucket(parts.netloc, parts.path.strip("/"))
    if parts.scheme in ("", "file"):
        return Folder(Path(unquote(parts.path) if parts.scheme else uri))
    raise ArchiveError(f"MLFLOW_ARTIFACTS_DESTINATION must be a folder or s3://BUCKET/PREFIX, but is {uri}")


class Folder:
    """Artifacts in a local folder."""

    def __init__(self, path: Path) -> None:
        """Name the folder."""
        self.path = path.absolute()

    def __str__(self) -> str:
        """Show the folder."""
        return str(self.path)

    def copy_to(self, folder: Path) -> None:
        """Copy the tree; a server that has no artifacts yet has no folder."""
        shutil.copytree(self.path, folder) if self.path.is_dir() else folder.mkdir()

    def is_empty(self) -> bool:
        """Say whether there is no file."""
        return not any(path.is_file() for path in self.path.rglob("*"))

    def copy_from(self, folder: Path) -> None:
        """Copy the tree."""
        if folder.is_dir():  # a backup without artifacts may have lost the empty folder on its way
            shutil.copytree(folder, self.path, dirs_exist_ok=True)

    def clear(self) -> None:
        """Empty the folder, which was empty before."""
        for path in self.path.iterdir() if self.path.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Bucket:
    """Artifacts in an S3 store; its endpoint and keys come from the environment, as the server's do."""

    def __init__(self, name: str, prefix: str) -> None:
        """Connect; ``prefix`` is without slashes at its ends."""
        import boto3

        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""
        self._store = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)

    def __str__(self) -> str:
        """Show the address."""
        return f"s3://{self.name}/{self.prefix}"

    def copy_to(self, folder: Path) -> None:
        """Download every object."""
        folder.mkdir()
        with self._explained():
            for key in self._keys():
                path = folder / key[len(self.prefix) :]
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise ArchiveError(f"the object {key!r} in {self} cannot be a file of the backup")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._store.download_file(self.name, key, str(path))

    def is_empty(self) -> bool:
        """Say whether no object begins with the prefix."""
        with self._explained():
            return next(self._keys(), None) is None

    def copy_from(self, folder: Path) -> None:
        """Upload every file."""
        with self._explained():
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    self._store.upload_file(str(path), self.name, self.prefix + path.relative_to(folder).as_posix())

    def clear(self) -> None:
        """Delete the objects; there were none before."""
        with self._explained():
            for key in self._keys():
                self._store.delete_object(Bucket=self.name, Key=key)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise ArchiveError(f"the artifacts' place {self} does not serve: {error}") from None

    def _keys(self) -> Iterator[str]:
        pages = self._store.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix)
        return (item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/"))


def main() -> int:
    """Run ``backup FOLDER`` or ``restore FOLDER`` on what the environment names. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=("backup", "restore"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that nothing half done stays
    action = {"backup": backup, "restore": restore}[options.action]
    try:
        places = os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ["MLFLOW_ARTIFACTS_DESTINATION"]
        manifest = action(options.folder.absolute(), *places)
    except (ArchiveError, OSError, sqlite3.Error) as error:
        print(f"{options.action}.sh: {error}", file=sys.stderr)
        return 1
    size_mb = sum(file["bytes"] for file in manifest["files"].values()) / 1e6
    done = "written to" if options.action == "backup" else "restored from"
    print(f"{len(manifest['files'])} files, {size_mb:.1f} MB, {done} {options.folder}; MLflow {manifest['mlflow']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
