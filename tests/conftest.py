"""What the report begins with, where reference values lie, and how hypothesis works here."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from catalogs import either_catalog  # noqa: F401
from postgres_server import postgres_server  # noqa: F401

# No deadline: on a busy machine the first call of a kernel may wait for a processor. In CI a failure must come back.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# Several tests send themselves Ctrl-C, which a suite ignores that a script has started in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is of SQLite's own files where the catalog is not in SQLite."""

    def kept(item: pytest.Item) -> bool:
        chosen = getattr(item, "callspec", None)
        over = "sqlite" if chosen is None else chosen.params.get("either_catalog", "sqlite")
        return over == "sqlite" or item.get_closest_marker("sqlite") is None

    left_out = [item for item in items if not kept(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if kept(item)]


def pytest_report_header() -> str:
    import learndock
    from learndock.config import config

    about = config()
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    return (
        f"learndock {learndock.__version__}: {about['instruction_set']} "
        f"(of {', '.join(about['instruction_sets_available'])}), {about['threads']} threads, "
        f"Python {'with' if locked else 'without'} a global lock"
    )


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of values computed with the reference package; its README says what each is."""
    return Path(__file__).parent / "data" / "golden"


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: for what changes docks hundreds of times and would wait for the disk.

    With LEARNDOCK_CRASHES it is on the disk all the same.
    """
    memory = Path("/dev/shm")
    if "LEARNDOCK_CRASHES" in os.environ or not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="learndock-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def interrupt_after_commit():
    """Make the n-th commit of a dock from now on be followed at once by Ctrl-C, as a signal handler would."""
    import sqlalchemy as sa

    def arm(dock, after):
        left = [after]
        engine = dock._catalog._engine
        commit = engine.dialect.do_commit

        def interrupted(connection):
            commit(connection)
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        assert isinstance(engine, sa.Engine)
        engine.dialect.do_commit = interrupted

    return arm
