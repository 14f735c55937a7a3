"""A copy of a dock, consistent though writers are at work.

The catalog is copied in one state; the zips and segments that this state names never change, so they may be linked or
copied at leisure. Where one is gone before its turn came (an update, a deletion, a fold), a newer state is taken, and
what was copied already serves on. All of it is gathered in a folder inside the target, and moved up with dock.json at
the end: what an end in between leaves is refused by `Dock`. A copy whose catalog goes to PostgreSQL has the name of the
schema in catalog.json before the schema is made.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._durable import make_folders, new_file, sync_folder
from learndock.dock import rows
from learndock.dock.catalog import Catalog
from learndock.dock.catalog_copy import copy_catalog
from learndock.dock.catalog_place import PostgreSQLPlace, record_place
from learndock.dock.layout import Layout
from learndock.dock.segments import SEGMENT_FILES
from learndock.errors import DockError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from learndock.dock.progress import Progress

__all__ = ["Target", "back_up"]

_ATTEMPTS = 5
_LOCK_SECONDS = 60.0
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where the copy goes.

    Attributes
    ----------
    folder : Path
    place : PostgreSQLPlace or None
        Of its catalog; None for the file in the folder.
    actor : str
    """

    folder: Path
    place: PostgreSQLPlace | None
    actor: str

    def catalog(self, layout: Layout, *, readonly: bool) -> Catalog:
        """The copy's catalog, in a layout."""
        return Catalog.at(layout, self.place, readonly=readonly, actor=self.actor)


def back_up(
    source: Layout, catalog: Catalog, target: Target, *, readonly: bool, link: bool, on_progress: Progress
) -> None:
    """See `Dock.backup`."""
    folder = target.folder
    _check_folder(source, folder)
    made = not folder.exists()
    try:
        staging = Layout(folder / f".backup-{uuid.uuid4().hex}")
        try:
            make_folders(folder)
            _gather(source, catalog, staging, target, readonly=readonly, link=link, on_progress=on_progress)
            _move_up(staging, Layout(folder))
        except BaseException:
            _clear(staging, target)
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DockError(f"path: {folder}: the backup was not made ({reason})") from error


def _clear(staging: Layout, target: Target) -> None:
    """Delete what was made, all of it, unless the marker is in place: then the backup is whole."""
    moved = Layout(target.folder)
    if not moved.marker.exists():
        with closing(target.catalog(moved, readonly=False)) as copy, suppress(DockError):  # else the server is away
            copy.drop()
        moved.catalog_record.unlink(missing_ok=True)
        for folder in (moved.zips, moved.specs):
            shutil.rmtree(folder, ignore_errors=True)
    # Last: while it is there, the rest is not taken for a dock.
    shutil.rmtree(staging.root, ignore_errors=True)


def _check_folder(source: Layout, target: Path) -> None:
    if target.resolve().is_relative_to(source.root.resolve()):
        raise InvalidArgument(f"path: expected a folder outside of the dock, got {target}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgument(f"path: expected an empty folder or none, got {target}")


def _gather(
    source: Layout,
    catalog: Catalog,
    staging: Layout,
    target: Target,
    *,
    readonly: bool,
    link: bool,
    on_progress: Progress,
) -> None:
    for folder in (staging.root, staging.zips, staging.specs):
        folder.mkdir()
    if target.place is not None:
        record_place(staging, target.place)
    for attempt in range(1, _ATTEMPTS + 1):
        last = attempt == _ATTEMPTS
        try:
            # Writers wait for the last attempt alone, and not for long: nearly all is copied by then.
            with catalog.write_lock(seconds=_LOCK_SECONDS).held() if last and not readonly else nullcontext():
                copy_catalog(catalog, staging, target.place, actor=target.actor)
                with closing(target.catalog(staging, readonly=True)) as copy:
                    zips, segments = _named(staging, copy)
                _remove_others(staging, zips, segments)
                _copy_files(source, staging, zips, segments, link=link, on_progress=on_progress)
            break
        except FileNotFoundError as error:
            if last:
                raise DockError(
                    f"{source.root}: {error.filename}, which the catalog names, is missing; `verify` says more"
                ) from None
    for folder in (staging.zips, staging.specs):
        sync_folder(folder)
    staging.finish()


def _named(staging: Layout, copy: Catalog) -> tuple[list[Path], list[Path]]:
    """Zips and segments that the copied catalog names, as paths in `staging`."""
    with copy.reading() as connection:
        zips = [staging.zip(row.id, row.zip_sha256) for row in rows.zip_rows(connection).values()]
        segments = [staging.segment(name) for name in rows.all_segments(connection)]
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
    catalog = staging.catalog_record if staging.catalog_record.exists() else staging.catalog
    for name in (staging.zips.name, staging.specs.name, catalog.name):
        (staging.root / name).rename(target.root / name)
    sync_folder(target.root)
    staging.marker.rename(target.marker)
    staging.root.rmdir()
    sync_folder(target.root)
