"""A database of its own on the server of the session, which can be taken from the Everdure servers that use it."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit, urlunsplit

from harness.database import query


class Database:
    """A database with a role that owns it."""

    def __init__(self, admin_url: str):
        self._admin = admin_url
        self.name = f"own_{uuid.uuid4().hex[:16]}"
        query(admin_url, f"create role {self.name} login password 'secret'")
        query(admin_url, f"create database {self.name} owner {self.name}")
        parts = urlsplit(admin_url)
        place = f"{self.name}:secret@{parts.hostname}:{parts.port}"
        self.url = urlunsplit((parts.scheme, place, f"/{self.name}", "", ""))

    def _end_sessions(self) -> None:
        query(self._admin, f"select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = '{self.name}'")

    def close(self) -> None:
        """Ends all connections and admits none: to a server it is away, for want of connections."""
        query(self._admin, f"alter role {self.name} connection limit 0")
        self._end_sessions()

    def open(self) -> None:
        query(self._admin, f"alter role {self.name} connection limit -1")

    def only_reads(self, yes: bool) -> None:
        """As after a failover to a standby."""
        query(self._admin, f"alter database {self.name} set default_transaction_read_only = {'on' if yes else 'off'}")
        self._end_sessions()

    def drop(self) -> None:
        query(self._admin, f"drop database if exists {self.name} with (force)")
        query(self._admin, f"drop role if exists {self.name}")
