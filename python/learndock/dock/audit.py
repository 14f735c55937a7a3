"""The audit log: what was done to a dock, when, and by whom.

A row is written in the transaction of the change that it tells of, so there is none without the other. A refused
submission changes nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from learndock.dock.ids import learnware_name
from learndock.dock.tables import audit, of_several
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    from learndock.checker import Status

__all__ = ["Action", "AuditRecord", "actor_name", "history", "now", "record", "record_deletion"]

Action = Literal["submit", "update", "delete", "ingest", "search_gamma", "scaling"]

_LONGEST_ACTOR = 200
# Enough to see why; the whole report went to the one who submitted.
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One entry of the audit log.

    Attributes
    ----------
    sequence : int
        Ascending in the order of the changes.
    time : str
        ISO 8601, UTC.
    actor : str
        Who had opened the dock.
    action : {"submit", "update", "delete", "ingest", "search_gamma", "scaling"}
    status : Status
        INVALID where it was refused and changed nothing; else that of the learnware, after the change. USABLE for a
        search gamma or a scaling.
    id : str or None
        Of the learnware, or the first of several; None where a submission was refused, and for a search gamma or a
        scaling.
    count : int
        How many learnwares, with ids one after the other: above 1 for ingested specifications alone, 0 for a search
        gamma or a scaling.
    sha256_before, sha256_after : str or None
        Of the zip, before the change and after it, or as it was refused.
    message : str or None
        Why it was refused, cut short; the space and its search gamma or scaling.
    """

    sequence: int
    time: str
    actor: str
    action: Action
    status: Status
    id: str | None
    count: int
    sha256_before: str | None
    sha256_after: str | None
    message: str | None


def now() -> str:
    """The time as the catalog has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def actor_name(actor: str | None) -> str:
    """Who the log names: `actor`, or the user of this process.

    By the user id and not by environment variables, which say what anybody has written there.
    """
    if actor is None:
        import pwd

        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:  # as in a container
            return f"uid {os.geteuid()}"
    if not isinstance(actor, str):
        raise InvalidArgument(f"actor: expected a name, got {type(actor).__name__}")
    if not actor.strip() or not actor.isprintable() or len(actor) > _LONGEST_ACTOR:
        raise InvalidArgument(f"actor: expected 1 to {_LONGEST_ACTOR} printable characters, got {actor[:80]!r}")
    return actor


def record(
    connection: sa.Connection,
    actor: str,
    action: Action,
    *,
    status: int,
    learnware_id: int | None,
    count: int = 1,
    before: str | None = None,
    after: str | None = None,
    message: str | None = None,
) -> None:
    """Add an entry."""
    connection.execute(
        audit.insert().values(
            time=now(),
            actor=actor,
            action=action,
            status=status,
            learnware_id=learnware_id,
            learnwares=count,
            sha256_before=before,
            sha256_after=after,
            # What a model or a zip said may hold what no text in a database may.
            message=None if message is None else message[:_LONGEST_MESSAGE].replace("\0", "\ufffd"),
        )
    )


def record_deletion(connection: sa.Connection, actor: str, rows: Mapping[int, sa.Row[Any]]) -> None:
    """Add an entry for each deleted learnware; specifications alone whose ids follow each other share one."""
    values = [
        {
            "time": now(),
            "actor": actor,
            "action": "delete",
            "status": rows[run[0]].status,
            "learnware_id": run[0],
            "learnwares": len(run),
            "sha256_before": rows[run[0]].zip_sha256,
        }
        for run in _runs(rows)
    ]
    connection.execute(audit.insert(), values)


def _runs(rows: Mapping[int, sa.Row[Any]]) -> Iterator[Sequence[int]]:
    run: list[int] = []
    for number in sorted(rows):
        alone = rows[number].zip_sha256 is None
        if run and not (alone and rows[run[0]].zip_sha256 is None and number == run[-1] + 1):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def history(connection: sa.Connection, number: int | None, limit: int | None) -> list[AuditRecord]:
    """Entries, newest first: all of them, or those of one learnware."""
    query = sa.select(audit).order_by(audit.c.sequence.desc()).limit(limit)
    if number is not None:
        # Two questions, each with an index; as one they would be answered by reading all that ever happened.
        own = sa.select(audit.c.sequence).where(audit.c.learnware_id == number)
        in_run = sa.select(audit.c.sequence).where(
            of_several, audit.c.learnware_id <= number, audit.c.learnware_id + audit.c.learnwares > number
        )
        query = query.where(audit.c.sequence.in_(own.union(in_run)))
    return list(_records(connection.execute(query)))


def _records(rows: Iterable[sa.Row[Any]]) -> Iterator[AuditRecord]:
    from learndock.checker import Status

    for row in rows:
        yield AuditRecord(
            sequence=row.sequence,
            time=row.time,
            actor=row.actor,
            action=row.action,
            status=Status(row.status),
            id=None if row.learnware_id is None else learnware_name(row.learnware_id),
            count=row.learnwares,
            sha256_before=row.sha256_before,
            sha256_after=row.sha256_after,
            message=row.message,
        )
