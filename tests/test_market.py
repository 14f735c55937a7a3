"""Markets of the reference, made by our own code, read into a dock; and markets that somebody made to do harm."""

from __future__ import annotations

import json
import sqlite3
import zipfile
import zlib
from pathlib import Path

import pytest

import learndock as ld
from hostile_files import MODEL, SEMANTIC, SPECIFICATION, YAML, write_zip
from leaks import nothing_left
from learndock.errors import InvalidArgument, ReadOnlyDock
from learndock.learnware import ArchiveLimits
from learndock.market import ImportStatus, MarketEntry, import_market
from learndock.runtime import ModelLimits

# As SQLAlchemy writes it for the reference.
SCHEMA = """CREATE TABLE tb_learnware (
    id VARCHAR(10) NOT NULL,
    semantic_spec TEXT NOT NULL,
    zip_path TEXT NOT NULL,
    folder_path TEXT NOT NULL,
    use_flag TEXT NOT NULL,
    PRIMARY KEY (id)
)"""


class Market:
    """The files of a market, as the reference's EasyOrganizer leaves them."""

    def __init__(self, root: Path, market_id: str = "default", *, schema: str = SCHEMA) -> None:
        self.root = root
        self.database = root / "database" / f"market_{market_id}.db"
        self.pool = root / market_id / "learnware_pool"
        for folder in (self.database.parent, self.pool / "zips", self.pool / "unzipped_learnwares"):
            folder.mkdir(parents=True, exist_ok=True)
        self.execute(schema)

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> None:
        connection = sqlite3.connect(self.database)
        with connection:
            connection.execute(statement, parameters)
        connection.close()

    def insert(self, learnware_id, *, semantic=SEMANTIC, zip_path=None, use_flag=1) -> None:
        # The reference writes a number, which the column makes text.
        zip_path = str(self.pool / "zips" / f"{learnware_id}.zip") if zip_path is None else zip_path
        text = semantic if isinstance(semantic, str | bytes) else json.dumps(semantic)
        folder = str(self.pool / "unzipped_learnwares" / str(learnware_id))
        self.execute(
            "INSERT INTO tb_learnware VALUES (?, ?, ?, ?, ?)", (learnware_id, text, zip_path, folder, use_flag)
        )

    def add(self, learnware_id: str, *, files: dict[str, bytes] | None = None, **row: object) -> Path:
        """Add a learnware that differs from others in its specification."""
        points = [[float(len(learnware_id)), float(zlib.crc32(learnware_id.encode()))], [0.3, 0.4]]
        content = {
            "__init__.py": MODEL,
            "learnware.yaml": YAML,
            "stat.json": json.dumps({**SPECIFICATION, "z": points}).encode(),
            **(files or {}),
        }
        zip_path = self.pool / "zips" / f"{learnware_id}.zip"
        write_zip(zip_path, content)
        with zipfile.ZipFile(zip_path) as archive:
            archive.extractall(self.pool / "unzipped_learnwares" / learnware_id)
        self.insert(learnware_id, **row)
        return zip_path


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {str(file): file.lstat() for file in [folder, *folder.rglob("*")]}
    return {name: (status.st_mtime_ns, status.st_size, status.st_mode) for name, status in found.items()}


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path / "market")


@pytest.fixture
def dock(tmp_path, market):  # the market first, so that its files do not count as left
    with nothing_left(), ld.Dock(tmp_path / "dock") as made:
        yield made


def statuses(report) -> dict[str, ImportStatus]:
    return {entry.old_id: entry.status for entry in report.entries}


def test_every_learnware_of_a_market_comes_with_its_id_status_and_reason(market, dock):
    market.add("00000000", semantic={**SEMANTIC, "Name": {"Type": "String", "Values": "first"}})
    market.add("00000001", files={"requirements.txt": b"no-such-package==1.0"})
    market.add("00000002", files={"__init__.py": MODEL.replace(b"X.sum(axis=1)", b"X")})
    market.add("00000003", files={"stat.json": b"{"})
    (market.pool / "zips" / "00000003.zip").write_bytes(b"no zip")
    market.add("00000004", use_flag=0)
    before = snapshot(market.root)
    seen = []
    report = import_market(market.root, dock, on_progress=lambda *step: seen.append(step))
    assert statuses(report) == {
        "00000000": ImportStatus.USABLE,
        "00000001": ImportStatus.NONUSABLE,
        "00000002": ImportStatus.INVALID,
        "00000003": ImportStatus.INVALID,
        "00000004": ImportStatus.USABLE,
    }
    assert report.counts == {ImportStatus.USABLE: 2, ImportStatus.NONUSABLE: 1, ImportStatus.INVALID: 2}
    assert [entry.id for entry in dock.list()] == sorted(report.new_ids.values())
    names = {entry.id: entry.name for entry in dock.list()}
    assert names[report.new_ids["00000000"]] == "first"
    assert names[report.new_ids["00000004"]] == "sum"
    messages = {entry.old_id: entry.message for entry in report.entries}
    assert "no-such-package" in messages["00000001"]
    assert "output_shape" in messages["00000002"]
    assert "can't be opened as a zip" in messages["00000003"]
    assert messages["00000000"] == ""
    assert seen == [("import", number, 5) for number in range(6)]
    assert repr(report).startswith("MarketReport('default': 2 usable, 1 nonusable, 2 invalid)\n  00000000 -> 0")
    assert snapshot(market.root) == before


def test_an_import_that_is_repeated_adds_only_what_is_new(market, dock):
    market.add("00000000")
    first = import_market(market.root, dock)
    market.add("00000001")
    second = import_market(market.root, dock)
    assert statuses(second) == {"00000000": ImportStatus.PRESENT, "00000001": ImportStatus.USABLE}
    assert second.new_ids["00000000"] == first.new_ids["00000000"]
    assert len(dock) == 2


def test_an_interrupted_import_goes_on_where_it_was(market, dock):
    for number in range(3):
        market.add(f"0000000{number}")

    def interrupt(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_market(market.root, dock, on_progress=interrupt)
    assert len(dock) == 2
    assert list(import_market(market.root, dock).counts.items()) == [
        (ImportStatus.USABLE, 1),
        (ImportStatus.PRESENT, 2),
    ]


def test_the_same_zip_twice_in_a_market_is_added_once(market, dock):
    path = market.add("00000000")
    (market.pool / "zips" / "copy.zip").write_bytes(path.read_bytes())
    market.insert("copy")
    report = import_market(market.root, dock)
    assert statuses(report) == {"00000000": ImportStatus.USABLE, "copy": ImportStatus.PRESENT}
    assert len(set(report.new_ids.values())) == 1


@pytest.mark.parametrize("place", ["root", "own folder", "copied with its database", "moved from another machine"])
def test_a_market_is_found_where_it_lies(market, dock, tmp_path, place):
    zip_path = "/home/alice/.learnware/default/learnware_pool/zips/00000000.zip" if "moved" in place else None
    market.add("00000000", zip_path=zip_path)
    path = market.root
    if place == "own folder":
        path = market.root / "default"
    if place == "copied with its database":
        path = market.pool.parent.rename(tmp_path / "copy")
        market.database.rename(path / market.database.name)
    report = import_market(path, dock)
    assert report.market_id == "default"
    assert statuses(report) == {"00000000": ImportStatus.USABLE}


def test_a_path_of_windows_in_the_database_is_understood(market, dock):
    market.add("00000000", zip_path="C:\\Users\\a\\.learnware\\default\\learnware_pool\\zips\\00000000.zip")
    assert statuses(import_market(market.root, dock)) == {"00000000": ImportStatus.USABLE}


def test_one_of_several_markets_is_named(market, dock):
    Market(market.root, "other").add("00000000")
    with pytest.raises(InvalidArgument, match=r"market_id: expected one of the markets at .*: 'default', 'other'"):
        import_market(market.root, dock)
    assert statuses(import_market(market.root, dock, market_id="other")) == {"00000000": ImportStatus.USABLE}
    assert import_market(market.root / "default", dock).entries == ()
    with pytest.raises(InvalidArgument, match="no market 'third'"):
        import_market(market.root, dock, market_id="third")


def test_a_dict_without_a_licence_is_of_apaches_as_the_reference_has_it(market, dock):
    market.add("00000000", semantic={key: value for key, value in SEMANTIC.items() if key != "License"})
    report = import_market(market.root, dock)
    assert statuses(report) == {"00000000": ImportStatus.USABLE}
    (entry,) = dock.list()
    assert entry.semantic["License"]["Values"] == ["Apache-2.0"]


def test_limits_reach_the_checks(market, dock):
    market.add("00000000", files={"__init__.py": MODEL.replace(b"return", b"import time; time.sleep(60); return")})
    report = import_market(market.root, dock, limits=ModelLimits(seconds=2.0))
    assert report.entries[0].status == ImportStatus.INVALID
    assert "too long" in report.entries[0].message
    report = import_market(market.root, dock, archive_limits=ArchiveLimits(files=1))
    assert "at most 1 are allowed" in report.entries[0].message


def test_what_the_caller_asks_for_wrongly_is_no_fault_of_the_learnwares(market, dock):
    market.add("00000000")
    with pytest.raises(InvalidArgument, match="isolation"):
        import_market(market.root, dock, isolation="perfect")


@pytest.mark.parametrize("semantic", ["{", "[1]", "[" * 100_000, b"\xff\xfe", '{"Name": 1, "Name": 2}', {}, "null"])
def test_a_semantic_part_that_makes_no_sense_is_invalid_and_does_not_stop_the_others(market, dock, semantic):
    market.add("00000000", semantic=semantic)
    market.add("00000001")
    report = import_market(market.root, dock)
    assert statuses(report) == {"00000000": ImportStatus.INVALID, "00000001": ImportStatus.USABLE}
    assert report.entries[0].message


# Markets that somebody made to do harm.


@pytest.mark.parametrize(
    ("learnware_id", "zip_path", "says"),
    [
        ("../secret", "zips/../secret.zip", "no plain name"),
        ("/etc/passwd", "zips//etc/passwd.zip", "no plain name"),
        ("a b", "zips/a b.zip", "no plain name"),
        ("a\nb", "zips/a\nb.zip", "no plain name"),
        ("x" * 65, "zips/" + "x" * 65 + ".zip", "no plain name"),
        ("", "zips/.zip", "no plain name"),
        ("good", "/etc/passwd", "expected .../zips/good.zip"),
        ("good", "/home/user/private.zip", "expected .../zips/good.zip"),
        ("good", "../../zips/good.zip", "expected .../zips/good.zip"),
        ("good", "zips/good.zip/../../good.zip", "expected .../zips/good.zip"),
        ("good", "..\\zips\\good.zip", "expected .../zips/good.zip"),
        ("good", "", "expected .../zips/good.zip"),
        ("good", "zips/good.zip\0", "expected .../zips/good.zip"),
        ("good", b"zips/good.zip", "its row holds no text|usable"),
        ("absent", "zips/absent.zip", "zips/absent.zip can't be read"),
    ],
    ids=repr,
)
def test_a_path_that_leads_elsewhere_is_refused(market, dock, tmp_path, learnware_id, zip_path, says):
    market.add("good")
    market.execute("DELETE FROM tb_learnware")
    (market.pool / "secret.zip").write_bytes((market.pool / "zips" / "good.zip").read_bytes())
    market.insert(learnware_id, zip_path=zip_path)
    (entry,) = import_market(market.root, dock).entries
    if isinstance(zip_path, bytes):  # text to SQLite's reader, and the right one
        assert entry.status == ImportStatus.USABLE
        return
    assert (entry.status, entry.new_id) == (ImportStatus.REFUSED, None)
    assert says in entry.message
    assert len(dock) == 0


def test_links_in_a_market_are_not_followed(market, dock, tmp_path):
    private = market.add("private")
    market.execute("DELETE FROM tb_learnware")
    private = private.rename(tmp_path / "private.zip")
    (market.pool / "zips" / "link.zip").symlink_to(private)
    market.insert("link")
    (market.pool / "zips" / "folder.zip").mkdir()
    market.insert("folder")
    assert import_market(market.root, dock).entries == (
        MarketEntry("folder", None, ImportStatus.REFUSED, "zips/folder.zip is no regular file"),
        MarketEntry("link", None, ImportStatus.REFUSED, "zips/link.zip is no regular file"),
    )


@pytest.mark.parametrize("link", ["zips", "pool", "market", "database folder", "database"])
def test_a_market_that_is_partly_a_link_is_none(market, dock, tmp_path, link):
    market.add("00000000")
    place = {
        "zips": market.pool / "zips",
        "pool": market.pool,
        "market": market.pool.parent,
        "database folder": market.database.parent,
        "database": market.database,
    }[link]
    elsewhere = place.rename(tmp_path / "elsewhere")
    place.symlink_to(elsewhere)
    with pytest.raises(InvalidArgument, match="path: no market at"):
        import_market(market.root, dock)


def test_the_folder_that_is_named_may_be_a_link(market, dock, tmp_path):
    market.add("00000000")
    (tmp_path / "link").symlink_to(market.root)
    assert statuses(import_market(tmp_path / "link", dock)) == {"00000000": ImportStatus.USABLE}


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i"


@pytest.mark.parametrize(
    "schema",
    [
        f"CREATE VIEW tb_learnware AS {ENDLESS} AS id, '' AS semantic_spec, '' AS zip_path, '' AS folder_path, 1 AS "
        "use_flag FROM n",
        "CREATE VIRTUAL TABLE tb_learnware USING fts5(id, semantic_spec, zip_path, folder_path, use_flag)",
        "CREATE TABLE tb_learnware (id TEXT)",
        "CREATE TABLE other (id TEXT)",
        "CREATE TABLE tb_learnware (id TEXT GENERATED ALWAYS AS (hex(zeroblob(999999999))), semantic_spec TEXT, "
        "zip_path TEXT, folder_path TEXT, use_flag TEXT)",
    ],
    ids=["endless view", "virtual table", "other columns", "other table", "column of code"],
)
def test_a_database_that_is_more_than_a_table_is_refused(tmp_path, schema):
    market = Market(tmp_path / "market", schema=schema)
    with ld.Dock(tmp_path / "dock") as dock, pytest.raises(InvalidArgument, match="is no database of a market"):
        import_market(market.root, dock)


@pytest.mark.parametrize("content", [b"", b"text" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_the_callers_fault(market, dock, content):
    market.database.write_bytes(content)
    with pytest.raises(InvalidArgument, match="is no database of a market"):
        import_market(market.root, dock)


def test_a_damaged_database_costs_no_more_than_what_is_damaged(market, dock):
    for number in range(3):
        market.add(f"0000000{number}", semantic={**SEMANTIC, "Other": "x" * 20_000})
    data = bytearray(market.database.read_bytes())
    # The pages that the long texts go on in lie at the end.
    data[-4096 * 3 :] = b"\xff" * 4096 * 3
    market.database.write_bytes(data)
    report = import_market(market.root, dock)
    assert set(statuses(report).values()) <= {ImportStatus.USABLE, ImportStatus.REFUSED, ImportStatus.INVALID}
    assert ImportStatus.USABLE not in (report.entries[-1].status,)


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    market = Market(tmp_path / "market", schema=SCHEMA.replace(",\n    PRIMARY KEY (id)", ""))
    market.add("00000000")
    market.insert("00000000")
    with ld.Dock(tmp_path / "dock") as dock:
        report = import_market(market.root, dock)
        assert [entry.status for entry in report.entries] == [ImportStatus.REFUSED] * 2
        assert "expected one row of this id, got 2" in report.entries[0].message


def test_a_row_of_other_types_is_refused(tmp_path):
    market = Market(tmp_path / "market", schema=SCHEMA.replace(" TEXT NOT NULL", "").replace(" VARCHAR(10)", ""))
    market.execute("INSERT INTO tb_learnware VALUES ('a', 3, 4.5, NULL, NULL)")
    market.execute("INSERT INTO tb_learnware VALUES (x'ff00', 'x', 'zips/b.zip', NULL, NULL)")
    with ld.Dock(tmp_path / "dock") as dock:
        assert {entry.status for entry in import_market(market.root, dock).entries} == {ImportStatus.REFUSED}


def test_a_semantic_part_of_40_mb_is_refused(market, dock):
    market.add("00000000", semantic='{"a": "' + "x" * 40 * 2**20 + '"}')
    (entry,) = import_market(market.root, dock).entries
    assert entry.status == ImportStatus.REFUSED
    assert "can't be read" in entry.message


def test_a_zip_larger_than_its_contents_may_be_is_not_read_to_its_end(market, dock):
    path = market.add("00000000")
    with path.open("r+b") as file:
        file.truncate(2**40)  # without a byte on the disk
    (entry,) = import_market(market.root, dock, archive_limits=ArchiveLimits(total_bytes=2**20)).entries
    assert entry.status == ImportStatus.REFUSED
    assert "is larger than" in entry.message


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_market_in_use_is_refused(market, dock, suffix):
    market.database.with_name(market.database.name + suffix).write_bytes(b"x")
    with pytest.raises(InvalidArgument, match="is in use, or was not closed"):
        import_market(market.root, dock)


def test_what_is_no_market_is_the_callers_fault(dock, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in ("absent", "empty"):
        with pytest.raises(InvalidArgument, match="path: "):
            import_market(tmp_path / path, dock)
    with pytest.raises(InvalidArgument, match="dock: expected a Dock"):
        import_market(tmp_path / "empty", None)


def test_a_dock_for_reading_is_refused(market, dock, tmp_path):
    with ld.Dock(tmp_path / "dock", readonly=True) as readonly, pytest.raises(ReadOnlyDock):
        import_market(market.root, readonly)


def test_an_id_from_a_stranger_does_not_steer_a_terminal(market, dock, caplog):
    market.insert("\x1b[31m\nevil")
    with caplog.at_level("INFO", logger="learndock"):
        report = import_market(market.root, dock)
    assert report.entries[0].status == ImportStatus.REFUSED
    assert "\x1b" not in repr(report)
    (line,) = [record.getMessage() for record in caplog.records if "evil" in record.getMessage()]
    assert line.isprintable()
