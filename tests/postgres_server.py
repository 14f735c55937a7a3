"""A PostgreSQL server for the tests: started once, on loopback, with a folder of its own that goes with it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

PASSWORD = "correct-horse-battery"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "128MB",
}
_SPACE = 2 << 30


def _programs() -> Path | None:
    """Where initdb and postgres are: Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    found = shutil.which("postgres")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    usable = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return usable[-1] if usable else None


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """A server that can be stopped and started again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        # PostgreSQL refuses to run as root.
        self._user = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, self._user)
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "-D", self._data, "-U", "tester", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, arguments)],
            user=self._user,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}{done.stdout}")

    def start(self) -> None:
        """Return when it answers."""
        options = " ".join(f"-c {name}={value}" for name, value in {**_SETTINGS, "port": self.port}.items())
        options = options.replace("unix_socket_directories=", "unix_socket_directories=''")
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", self._data, "-l", self._log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop at once, as a crash would."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-D", self._data, "-m", mode)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def url(self, database: str = "postgres", *, password: str | None = PASSWORD) -> str:
        secret = "" if password is None else f":{password}"
        return f"postgresql+psycopg://tester{secret}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="tester", password=PASSWORD, dbname=database, autocommit=True
        ) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []


def _lacking() -> str | None:
    if _programs() is None:
        return "no PostgreSQL server on this machine (Debian: apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install 'learndock[postgres]'"
    return None


@pytest.fixture(scope="session")
def postgres_server():
    """A running server; without one, a skip, or a failure where LEARNDOCK_REQUIRE_POSTGRES is set."""
    lacking = _lacking()
    if lacking is not None:
        if os.environ.get("LEARNDOCK_REQUIRE_POSTGRES"):
            pytest.fail(lacking)
        pytest.skip(lacking)
    # Not in pytest's folder, which other users may not enter; and in memory, for a few hundred docks are ten thousands
    # of small files, which a disk takes a minute to delete.
    memory = Path("/dev/shm")
    spacious = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _SPACE
    with tempfile.TemporaryDirectory(prefix="learndock-postgres-", dir=memory if spacious else None) as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(_programs(), Path(folder))
        try:
            yield server
        finally:
            server.stop()
