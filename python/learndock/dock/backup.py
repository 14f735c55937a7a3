"""A copy of a dock, consistent though writers are at work.

The catalog is copied in one state; the zips and segments that this state names never change, so they may be linked or
copied at leisure. Where one is gone before its turn came (an update, a deletion, a fold), a newer state is taken, and
what was copied already serves on. All of it is gathered in a folder inside the target, and moved up with dock.json at
the end: what an end in between leaves is refused by `Dock`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._durable import make_folders, new_file, sync_folder
from learndock.dock import rows
from learndock.dock._lock import WriteLock
from learndock.dock.catalog import Catalog
from learndock.dock.layout import Layout
from learndock.dock.segments import SEGMENT_FILES
from learndock.errors import DockError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from learndock.dock.progress import Progress

__all__ = ["back_up"]

_ATTEMPTS = 5
_LOCK_SECONDS = 60.0
_BLOCK = 1 << 20


def back_up(
    source: Layout, catalog: Catalog, target: Path, *, readonly: bool, link: bool, on_progress: Progress
) -> None:
    """See `Dock.backup`."""
    _check_target(source, target)
    made = not target.exists()
    try:
        staging = Layout(target / f".backup-{uuid.uuid4().hex}")
        try:
            make_folders(target)
            _gather(source, catalog, staging, readonly=readonly, link=link, on_progress=on_progress)
            _move_up(staging, Layout(target))
        except BaseException:
            _clear(staging, Layout(target))
            if made:
                with suppress(OSError):
                    target.rmdir()
            raise
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DockError(f"path: {target}: the backup was not made ({reason})") from error


def _clear(staging: Layout, target: Layout) -> None:
    """Delete what was made, all of it, unless the marker is in place: then the backup is whole."""
    if not target.marker.exists():
        target.catalog.unlink(missing_ok=True)
        for folder in (target.zips, target.specs):
            shutil.rmtree(folder, ignore_errors=True)
    # Last: while it is there, the rest is not taken for a dock.
    shutil.rmtree(staging.root, ignore_errors=True)


def _check_target(source: Layout, target: Path) -> None:
    if target.resolve().is_relative_to(source.root.resolve()):
        raise InvalidArgument(f"path: expected a folder outside of the dock, got {target}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgument(f"path: expected an empty folder or none, got {target}")


def _gather(
    source: Layout, catalog: Catalog, staging: Layout, *, readonly: bool, link: bool, on_progress: Progress
) -> None:
    for folder in (staging.root, staging.zips, staging.specs):
        folder.mkdir()
    for attempt in range(1, _ATTEMPTS + 1):
        last = attempt == _ATTEMPTS
        try:
            # Writers wait for the last attempt alone, and not for long: nearly all is copied by then.
            with WriteLock(source.lock, seconds=_LOCK_SECONDS).held() if last and not readonly else nullcontext():
                _copy_state(source, catalog, staging, link=link, on_progress=on_progress)
            break
        except FileNotFoundError as error:
            if last:
                raise DockError(
                    f"{source.root}: {error.filename}, which the catalog names, is missing; `verify` says more"
                ) from None
    for folder in (staging.zips, staging.specs):
        sync_folder(folder)
    staging.finish()


def _copy_state(source: Layout, catalog: Catalog, staging: Layout, *, link: bool, on_progress: Progress) -> None:
    staging.catalog.unlink(missing_ok=True)
    _copy_catalog(catalog, staging.catalog)
    zips, segments = _named(staging)
    _remove_others(staging, zips, segments)
    _copy_files(source, staging, zips, segments, link=link, on_progress=on_progress)


def _copy_catalog(catalog: Catalog, target: Path) -> None:
    with catalog.reading() as connection, closing(sqlite3.connect(target)) as copy:
        original = connection.connection.driver_connection
        if not isinstance(original, sqlite3.Connection):
            raise DockError(f"expected a catalog in SQLite, got {type(original).__name__}")
        original.backup(copy)
        # One file: nothing of it may be left in a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _named(staging: Layout) -> tuple[list[Path], list[Path]]:
    """Zips and segments that the copied catalog names, as paths in `staging`."""
    catalog = Catalog(staging.catalog, readonly=True)
    try:
        with catalog.reading() as connection:
            zips = [staging.zip(row.id, row.zip_sha256) for row in rows.zip_rows(connection).values()]
            segments = [staging.segment(name) for name in rows.all_segments(connection)]
    finally:
        catalog.close()
    return zips, segments


def _remove_others(staging: Layout, zips: Iterable[Path], segments: Iterable[Path]) -> None:
    """Delete what an earlier attempt has copied and this state of the catalog does not name any more."""
    for path in set(staging.zips.iterdir()) - set(zips):
        path.unlink()
    for path in set(staging.specs.iterdir()) - set(segments):
        shutil.rmtree(path)


def _copy_files(
    source: Layout, staging: Layout, zips: list[Path], segments: list[Path], *, link: bool, on_progress: Progress
) -> None:
    total = len(zips) + len(segments)
    on_progress("backup", 0, total)
    for done, path in enumerate(zips, 1):
        if not path.exists():
            _copy(source.zips / path.name, path, link=link)
        on_progress("backup", done, total)
    for done, segment in enumerate(segments, len(zips) + 1):
        if not segment.exists():
            partial = segment.with_name(f".incoming-{segment.name}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for name in SEGMENT_FILES:  # and not what is found: a folder may be half deleted
                _copy(source.segment(segment.name) / name, partial / name, link=link)
            sync_folder(partial)
            partial.rename(segment)
        on_progress("backup", done, total)


def _copy(source: Path, target: Path, *, link: bool) -> None:
    if link:
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without links, or too many of them
            pass
        else:
            return
    temporary = target.with_name(f".incoming-{target.name}")
    temporary.unlink(missing_ok=True)
    with source.open("rb") as original, new_file(temporary) as copy:
        shutil.copyfileobj(original, copy, _BLOCK)
    temporary.rename(target)


def _move_up(staging: Layout, target: Layout) -> None:
    sync_folder(staging.root)
    for name in (staging.zips.name, staging.specs.name, staging.catalog.name):
        (staging.root / name).rename(target.root / name)
    sync_folder(target.root)
    staging.marker.rename(target.marker)
    staging.root.rmdir()
    sync_folder(target.root)
