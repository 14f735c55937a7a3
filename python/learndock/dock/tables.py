"""The tables of a dock's catalog."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

# learndock.checker.Status.USABLE, without loading the checkers; a test keeps the two alike.
USABLE = 1

# A row in the table of learnwares is short, since counts, filters and sorts read all of them; what people wrote lies in
# tables beside it.
metadata = sa.MetaData()

_LearnwareId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# Compared and sorted by code points, as SQLite does, whatever the language of the server.
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _index_of_some(name: str, column: sa.Column[Any], condition: sa.ColumnElement[bool]) -> None:
    """Make an index of the rows that fulfil a condition."""
    sa.Index(name, column, sqlite_where=condition, postgresql_where=condition)


state = sa.Table(
    "state",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("next_id", sa.BigInteger, nullable=False),
)

spaces = sa.Table(
    "spaces",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("type", _Text, nullable=False),
    sa.Column("input_shape", _Text, nullable=False),
    sa.Column("gamma", sa.Double, nullable=False),
    sa.UniqueConstraint("type", "input_shape", "gamma"),
)

# sha256 is that of segment.json, which holds those of the segment's arrays.
segments = sa.Table(
    "segments",
    metadata,
    sa.Column("name", _Text, primary_key=True),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
    sa.Column("first_id", sa.BigInteger, nullable=False),
    sa.Column("specs", sa.BigInteger, nullable=False),
    sa.Column("sha256", _Text, nullable=False),
)

# The model of a space's current sketches; made when the first space is sketched.
sketch_models = sa.Table(
    "sketch_models",
    metadata,
    sa.Column("space_id", sa.ForeignKey("spaces.id"), primary_key=True),
    sa.Column("name", _Text, nullable=False),
)

# The gamma under which a space is searched instead of its own; made when the first is set.
search_gammas = sa.Table(
    "search_gammas",
    metadata,
    sa.Column("space_id", sa.ForeignKey("spaces.id"), primary_key=True),
    sa.Column("gamma", sa.Double, nullable=False),
)

# What the columns of a space are standardised by, means and scales in float64; made when the first is kept.
space_scalings = sa.Table(
    "space_scalings",
    metadata,
    sa.Column("space_id", sa.ForeignKey("spaces.id"), primary_key=True),
    sa.Column("mean_and_scale", sa.LargeBinary, nullable=False),
)

# version counts the updates: an update that was checked against an older one is refused.
learnwares = sa.Table(
    "learnwares",
    metadata,
    sa.Column("id", _LearnwareId, primary_key=True, autoincrement=False),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("zip_sha256", _Text),
    sa.Column("zip_bytes", sa.BigInteger),
    sa.Column("num_points", sa.BigInteger),
    sa.Column("fit_mmd2", sa.Double),
    sa.Column("submitted_at", _Text, nullable=False),
    sa.Column("updated_at", _Text),
)
# A literal, since a partial index serves only a condition that is written as its own.
not_usable = learnwares.c.status != sa.literal_column(str(USABLE))
_index_of_some("learnwares_not_usable", learnwares.c.space_id, not_usable)
_index_of_some("learnwares_of_data", learnwares.c.space_id, learnwares.c.fit_mmd2.is_not(None))
_index_of_some("learnwares_of_zip", learnwares.c.zip_sha256, learnwares.c.zip_sha256.is_not(None))

# What specifications say of the rows that they were fitted to: means and deviations of the columns in float64, and
# whether they were standardised by the space's scaling; made when the first says so.
fitted_specs = sa.Table(
    "fitted_specs",
    metadata,
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("moments", sa.LargeBinary),
    sa.Column("scaled", sa.Boolean, nullable=False),
)

# The semantic part of those that have one; `semantic` is the reference's dict.
semantics = sa.Table(
    "semantics",
    metadata,
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", _Text, nullable=False),
    sa.Column("description", _Text, nullable=False),
    sa.Column("semantic", sa.JSON, nullable=False),
)

# Class and tag keys of the semantic part: what a filter asks for.
tags = sa.Table(
    "tags",
    metadata,
    sa.Column("key", _Text, primary_key=True),
    sa.Column("value", _Text, primary_key=True),
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Index("tags_of_learnware", "learnware_id"),
    sqlite_with_rowid=False,
)

# Specifications that no segment holds yet: points and weights as float32.
pending = sa.Table(
    "pending",
    metadata,
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
    sa.Column("points", sa.LargeBinary, nullable=False),
    sa.Column("weights", sa.LargeBinary, nullable=False),
    sa.Column("self_inner", sa.Double, nullable=False),
)

# Copies in a segment that count no more: their learnware was deleted, or updated and lies elsewhere now. They go with
# the segment.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("segment", sa.ForeignKey("segments.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("learnware_id", sa.BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# What a model says at the points of its own specification, float32 in the order of the points; or why it says nothing.
# `meaning` is equal for models that predict the same. Made, with the next, by the first peer review.
own_outputs = sa.Table(
    "own_outputs",
    metadata,
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("meaning", _Text, nullable=False),
    sa.Column("columns", sa.Integer, nullable=False),
    sa.Column("outputs", sa.LargeBinary),
    sa.Column("variance", sa.Double),
    sa.Column("validation_loss", sa.Double),
    sa.Column("failure", _Text),
    sa.Index("own_outputs_of_meaning", "meaning"),
)

# What a model loses at the points of another's specification, float32 in their order, with mean and variance under its
# weights, and the squared MMD of the two specifications.
peer_losses = sa.Table(
    "peer_losses",
    metadata,
    sa.Column("sketch_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("model_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("mean", sa.Double, nullable=False),
    sa.Column("variance", sa.Double, nullable=False),
    sa.Column("mmd2", sa.Double, nullable=False),
    sa.Column("losses", sa.LargeBinary, nullable=False),
    sa.Index("peer_losses_of_model", "model_id"),
    sqlite_with_rowid=False,
)

# What was done, by whom: see learndock.dock.audit. Rows outlive their learnwares.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("sequence", _LearnwareId, primary_key=True, autoincrement=True),
    sa.Column("time", _Text, nullable=False),
    sa.Column("actor", _Text, nullable=False),
    sa.Column("action", _Text, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("learnware_id", sa.BigInteger),
    sa.Column("learnwares", sa.BigInteger, nullable=False),
    sa.Column("sha256_before", _Text),
    sa.Column("sha256_after", _Text),
    sa.Column("message", _Text),
    sa.Index("audit_of_learnware", "learnware_id"),
    sqlite_autoincrement=True,
)
of_several = audit.c.learnwares > sa.literal_column("1")
_index_of_some("audit_of_several", audit.c.learnware_id, of_several)

# Names and descriptions as a text search reads them; see learndock.dock.text_index, which makes the table: on SQLite it
# is a virtual one.
texts = sa.Table(
    "texts",
    sa.MetaData(),
    sa.Column("rowid", _LearnwareId, primary_key=True, autoincrement=False),
    sa.Column("name", _Text),
    sa.Column("description", _Text),
)
