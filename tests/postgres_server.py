"""A PostgreSQL server of the tests' own, in a folder that goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

USER = "scholar"
OWNER = "nobody"
"""Whom the server runs as where the tests run as root, which it refuses to."""
START = 60.0
"""Seconds to start in: a machine may have a lot to do."""
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=")
_numbers = count()


def missing() -> str:
    """Why there can be no server here, or an empty text."""
    lacking = [name for name in ("initdb", "postgres") if program(name) is None]
    return f"PostgreSQL's {' and '.join(lacking)} cannot be found here" if lacking else ""


def program(name: str) -> Path | None:
    """Where a program of the server is; Debian keeps them out of the path."""
    if found := shutil.which(name):
        return Path(found)
    places = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return max(places, key=lambda place: int(place.parts[4]), default=None)


class PostgresServer:
    """A server that listens on a socket in `folder` alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create(self) -> str:
        """The URL of a new database."""
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What a statement returns."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server, until it is done with."""
    folder = Path(tempfile.mkdtemp(prefix="scholar-postgres-"))
    owner: dict[str, object] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, OWNER)
        owner = {"user": OWNER, "extra_groups": []}
    data = folder / "data"
    initdb = [str(program("initdb")), "-D", str(data), "-U", USER, "-A", "trust", "--no-sync"]
    subprocess.run([*initdb, "-E", "UTF8"], check=True, capture_output=True, cwd=folder, **owner)  # type: ignore[call-overload]
    options = [part for option in _FAST for part in ("-c", option)]
    command = [str(program("postgres")), "-D", str(data), "-k", str(folder), *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **owner)  # type: ignore[call-overload]
    try:
        made = PostgresServer(folder)
        _await(made, process)
        yield made
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _await(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while True:
        try:
            server.execute("SELECT 1")
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() - began > START:
                log = (server.folder / "log").read_text()
                raise AssertionError(f"the server does not answer: {log}") from None
            time.sleep(0.05)
