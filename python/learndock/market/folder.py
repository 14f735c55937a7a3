"""Where the files of a market lie.

The reference has a root folder, ``~/.learnware`` by default, with all its markets::

    database/market_<market id>.db                         SQLite
    <market id>/learnware_pool/zips/<learnware id>.zip
    <market id>/learnware_pool/unzipped_learnwares/<learnware id>/

Of these only the database and the zips are read. Below the folder that the caller names, links are not followed: a
market that was received as an archive could lead to any file of this machine.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from learndock.errors import InvalidArgument, LearnwareError

__all__ = ["MarketFolder"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_NAMES = 500


@dataclass(frozen=True, slots=True)
class MarketFolder:
    """One market's files.

    Attributes
    ----------
    market_id : str
    database : Path
        The SQLite file.
    zips : Path
        The folder of the zips.
    """

    market_id: str
    database: Path
    zips: Path

    @classmethod
    def find(cls, path: Path, market_id: str | None = None) -> MarketFolder:
        """Find the files of a market.

        Parameters
        ----------
        path : Path
            The root folder, the market's own folder in it, or a folder that holds a copy of both.
        market_id : str, optional
            Which market, where there are several.

        Raises
        ------
        InvalidArgument
            There is no market, or several and none is named, or it is in use.
        """
        if not path.is_dir():
            raise InvalidArgument(f"path: expected the folder of a market, got {path}")
        base = path.resolve()
        databases = {
            **_databases(base / "database"),
            **_databases(base),
            **{name: file for name, file in _databases(base.parent / "database").items() if name == base.name},
        }
        found = {}
        for name, database in databases.items():
            pools = [
                pool for pool in (base / name / "learnware_pool", base / "learnware_pool") if _is_folder(base, pool)
            ]
            if pools and _is_folder(base, pools[0] / "zips"):
                found[name] = cls(name, database, pools[0] / "zips")
        if market_id is None and len(found) > 1:
            names = f"{', '.join(map(repr, sorted(found)))!s:.{_LONGEST_NAMES}}"
            raise InvalidArgument(f"market_id: expected one of the markets at {path}: {names}")
        if not found or (market_id is not None and market_id not in found):
            what = "market" if market_id is None else f"market {market_id!r}"
            raise InvalidArgument(
                f"path: no {what} at {path}: expected database/market_<id>.db and <id>/learnware_pool/zips"
            )
        market = found[next(iter(found)) if market_id is None else market_id]
        market._require_at_rest()
        return market

    def zip(self, learnware_id: str, named: str) -> Path:
        """Find the zip of a learnware: in the pool, by its id. The path in the database is only compared.

        Parameters
        ----------
        learnware_id : str
        named : str
            The path in the database; it may be that of the machine where the market was made.

        Raises
        ------
        LearnwareError
            The id is no name of a file, the path is that of another file, or there is no such file.
        """
        if not _ID.fullmatch(learnware_id):
            raise LearnwareError(f"the id {learnware_id!r:.100} is no plain name of letters and digits")
        # Splits at both / and \.
        path = PureWindowsPath(named)
        if path.parts[-2:] != ("zips", f"{learnware_id}.zip") or ".." in path.parts:
            raise LearnwareError(f"the database names {named!r:.300}, expected .../zips/{learnware_id}.zip")
        file = self.zips / f"{learnware_id}.zip"
        try:
            mode = file.lstat().st_mode
        except OSError as error:
            raise LearnwareError(f"zips/{file.name} can't be read ({error.strerror})") from None
        if not stat.S_ISREG(mode):
            raise LearnwareError(f"zips/{file.name} is no regular file")
        return file

    def _require_at_rest(self) -> None:
        """Refuse a database with changes in another file: read without them, it would be half of what it is."""
        for suffix in ("-journal", "-wal"):
            log = self.database.with_name(self.database.name + suffix)
            if log.exists() and log.stat().st_size:
                raise InvalidArgument(
                    f"path: the market is in use, or was not closed: {log.name} lies beside its database. Open it once "
                    "with what made it"
                )


def _databases(folder: Path) -> dict[str, Path]:
    """The database of each market, by the market's id."""
    if folder.is_symlink() or not folder.is_dir():
        return {}
    files = {file.name[len("market_") : -len(".db")]: file for file in folder.glob("market_*.db")}
    return {name: file for name, file in files.items() if _ID.fullmatch(name) and stat.S_ISREG(file.lstat().st_mode)}


def _is_folder(base: Path, folder: Path) -> bool:
    """Whether it is a folder, reached from `base` without links."""
    steps = [folder, *folder.parents]
    return all(stat.S_ISDIR(step.lstat().st_mode) for step in steps[: steps.index(base)]) if folder.is_dir() else False
