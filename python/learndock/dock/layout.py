"""Where things lie in a dock's folder, and the number of its format."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from learndock import _core
from learndock._durable import make_folders, replaced_file
from learndock.dock.ids import learnware_name
from learndock.errors import DockError, DockFormatError, ReadOnlyDock

# Format 1: catalog.sqlite, zips/<id>.<sha256>.zip, specs/<segment>/*.npy; and what can be made again:
# sketches/<model>/*.npy, specs/<segment>/sketch-<model>/*.npy.
FORMAT = 1
# Format 2: catalog.json, which says where the catalog is, in the place of catalog.sqlite.
FORMAT_ELSEWHERE = 2
_SHOWN_OF_SHA256 = 16


def names_in(folder: Path) -> Iterator[str]:
    """Names in a folder, one after the other, for it may have a million; none where it is missing or can't be read."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except (FileNotFoundError, PermissionError):
        return


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a dock.

    Attributes
    ----------
    root : Path
    """

    root: Path

    @property
    def marker(self) -> Path:
        """dock.json: says that this is a dock, and of which format. Written once, last."""
        return self.root / "dock.json"

    @property
    def catalog(self) -> Path:
        """The SQLite file."""
        return self.root / "catalog.sqlite"

    @property
    def catalog_record(self) -> Path:
        """catalog.json: where the catalog is, if not in the folder. Written first, once."""
        return self.root / "catalog.json"

    @property
    def zips(self) -> Path:
        """The learnwares as they were submitted; see `zip`."""
        return self.root / "zips"

    @property
    def specs(self) -> Path:
        """The segments, one folder each."""
        return self.root / "specs"

    @property
    def sketches(self) -> Path:
        """The models of the spaces' sketches, one folder each. Made when the first one is."""
        return self.root / "sketches"

    @property
    def lock(self) -> Path:
        """Held by the one process that writes."""
        return self.root / "write.lock"

    def zip(self, learnware_id: int, sha256: str) -> Path:
        """The zip of one learnware: another content, another name, so that an update overwrites nothing."""
        return self.zips / f"{learnware_name(learnware_id)}.{sha256[:_SHOWN_OF_SHA256]}.zip"

    def segment(self, name: str) -> Path:
        """The folder of one segment."""
        return self.specs / name

    def exists(self) -> bool:
        """Whether a dock is here; raises DockFormatError where something else is, or a newer format."""
        if not self.marker.exists():
            own = {
                "catalog.sqlite",
                "catalog.sqlite-wal",
                "catalog.sqlite-shm",
                "catalog.sqlite-journal",
                "catalog.json",
                "zips",
                "specs",
                "sketches",
                "write.lock",
            }
            try:
                strange = sorted({entry.name for entry in self.root.iterdir()} - own)
            except FileNotFoundError:
                return False
            except NotADirectoryError:
                raise DockFormatError(f"path: expected a folder, got the file {self.root}") from None
            # What is left of a creation that was cut off is made anew; anything else is somebody's.
            strange = [name for name in strange if not name.startswith((".dock.json.", ".catalog.json."))]
            if strange:
                raise DockFormatError(f"path: expected a dock or an empty folder, got {self.root} with {strange[0]}")
            return False
        try:
            found = json.loads(self.marker.read_bytes())["format"]
        except OSError as error:
            raise DockError(f"{self.marker}: can't be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DockFormatError(f"{self.marker}: expected the format of a dock ({error})") from None
        if not isinstance(found, int) or found < 1:
            raise DockFormatError(f"{self.marker}: format: expected a positive integer, got {found!r:.200}")
        if found > FORMAT_ELSEWHERE:
            raise DockFormatError(
                f"{self.root}: a dock of format {found}; this learndock reads up to {FORMAT_ELSEWHERE}: "
                "install a newer one"
            )
        if (found == FORMAT_ELSEWHERE) != self.catalog_record.exists():
            what = "is missing" if found == FORMAT_ELSEWHERE else "is there"
            raise DockFormatError(f"{self.root}: a dock of format {found}, and {self.catalog_record.name} {what}")
        return True

    def create(self, *, readonly: bool) -> None:
        """Make the folders of a new dock; `finish` makes it one."""
        if readonly:
            raise ReadOnlyDock(f"path: no dock at {self.root}, and readonly=True makes none")
        try:
            make_folders(self.root)
            for folder in (self.zips, self.specs):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DockError(f"path: can't make a dock at {self.root} ({error.strerror})") from None

    def finish(self) -> None:
        """Write dock.json, when all else is in place. For the one who holds the write lock, where there is one."""
        for left in self.root.glob(f".{self.marker.name}.*"):  # by a maker that died
            left.unlink()
        number = FORMAT_ELSEWHERE if self.catalog_record.exists() else FORMAT
        content = {"format": number, "made_by": f"learndock {_core.version}", "made_at": datetime.now(UTC).isoformat()}
        with replaced_file(self.marker) as file:
            file.write(json.dumps(content).encode())
