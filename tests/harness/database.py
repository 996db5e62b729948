"""The database behind a server, and the command line beside it: for what no call tells."""

from __future__ import annotations

import os
import subprocess

from harness.server import binary


def query(database_url: str, sql: str) -> str:
    """What the database itself says."""
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, database_url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def transactions(database_url: str) -> int:
    """Transactions that the database has ended, committed or not. Sessions report theirs within a
    second or so, the last ones before they rest within ten."""
    sql = "select sum(xact_commit + xact_rollback) from pg_stat_database where datname = current_database()"
    return int(query(database_url, sql))


def everdure(*arguments: str, database_url: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """A command of the command line."""
    environment = dict(os.environ)
    if database_url:
        environment["EVERDURE_DATABASE_URL"] = database_url
    return subprocess.run(
        [binary(), *arguments], capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )
