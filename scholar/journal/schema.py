"""The tables of the journal: runs, what each has been told, its calls, and threads."""

from __future__ import annotations

import sqlalchemy as sa

VERSION = "1"
"""Raised when the tables change; a journal of another format is left alone."""

metadata = sa.MetaData()

meta = sa.Table(
    "scholar_meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

runs = sa.Table(
    "scholar_runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("thread", sa.Text, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("preset", sa.Text, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("shape", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
    sa.Column("usage", sa.Text),
    sa.Column("cancel", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("waits", sa.Text, nullable=False, server_default="[]"),
    sa.Index("scholar_runs_started", "started"),
    sa.Index("scholar_runs_thread", "thread"),
)
"""`asked` is the graph's input as JSON, `shape` that of the state it was checkpointed in."""

answers = sa.Table(
    "scholar_answers",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("answer", sa.Text, nullable=False),
)
"""Apart from the runs, so that listing thousands of runs reads no answer."""

told = sa.Table(
    "scholar_told",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)

calls = sa.Table(
    "scholar_calls",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("call", sa.Text, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
)

threads = sa.Table(
    "scholar_threads",
    metadata,
    sa.Column("thread", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("notes", sa.Text, nullable=False, server_default=""),
    sa.Column("noted", sa.Integer, nullable=False, server_default="0"),
)
"""`notes` stand for the first `noted` runs of a thread, where all of them no longer fit."""

watches = sa.Table(
    "scholar_watches",
    metadata,
    sa.Column("watch_id", sa.Text, primary_key=True),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("preset", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("checked", sa.Float),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("seen", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False, server_default=""),
)

OF_A_RUN = (told, calls, answers, runs)
