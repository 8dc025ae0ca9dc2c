"""The wall behind the check: database connections that can read what a scope allows, and nothing else.

A check of the SQL and a wall in the database fail in different ways, so use both. A read-only *mode* is no wall: SQLite
in ``mode=ro`` still attaches, creates and writes other files, and a plain SELECT can switch PostgreSQL's
``default_transaction_read_only`` off for the rest of a pooled connection.
"""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.sql_tables import SQLITE_FUNCTIONS

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_STEPS = 10_000  # instructions of SQLite's virtual machine between two looks at the clock, about 0.1 ms


def readonly_sqlite(
    path: str | os.PathLike[str],
    tables: Mapping[str, Sequence[str]],
    *,
    timeout: float = 2.0,
    check_same_thread: bool = False,
) -> sqlite3.Connection:
    """A connection to a SQLite file that can read some columns of some tables, and do nothing else; ``with`` closes it.

    Opened with ``mode=ro``; an authorizer (https://sqlite.org/c3ref/set_authorizer.html) allows SELECT, the columns
    given and SQLite's ordinary functions; limits bound sizes, and a statement that runs too long is interrupted.

    Args:
        path: The database file.
        tables: The columns that may be read, by table or view; what a view reads itself is read on its behalf.
        timeout: Seconds that one statement may take.
        check_same_thread: As for `sqlite3.connect`; False, because LangChain runs tools in threads.

    Raises:
        ConfigError: A table or column does not exist, `timeout` is not positive, or there is no such file.
    """
    if not timeout > 0:
        raise ConfigError(f"readonly_sqlite(timeout={timeout!r}) must be a positive number of seconds")
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"readonly_sqlite(path={str(path)!r}) must be a database file")
    uri = f"file:{quote(str(file.resolve()))}?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=check_same_thread, factory=_Closing
    )
    try:
        wall = _SqliteWall(connection, tables, timeout)
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.execute("PRAGMA query_only=1")
        connection.execute("PRAGMA trusted_schema=0")
        connection.set_trace_callback(wall.started)
        connection.set_progress_handler(wall.late, _STEPS)
        connection.set_authorizer(wall.authorize)
    except BaseException:
        connection.close()
        raise
    return connection


class _Closing(sqlite3.Connection):
    """A connection that ``with`` closes: it has no transaction that ``with`` could end instead."""

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False


class _SqliteWall:
    """The authorizer and the clock of one connection."""

    def __init__(self, connection: sqlite3.Connection, tables: Mapping[str, Sequence[str]], timeout: float) -> None:
        self.timeout, self.deadline = timeout, float("inf")
        listed = connection.execute("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()
        real = {name.lower(): kind for kind, name in listed}
        self.allowed: dict[str, frozenset[str]] = {}
        for table, columns in tables.items():
            if table.lower() not in real:
                raise ConfigError(f"readonly_sqlite(tables=...): there is no table {table!r}")
            name = table.replace('"', '""')
            known = {row[1].lower() for row in connection.execute(f'PRAGMA table_xinfo("{name}")')}
            if missing := [column for column in columns if column.lower() not in known]:
                raise ConfigError(f"readonly_sqlite(tables=...): {table!r} has no column {missing[0]!r}")
            self.allowed[table.lower()] = frozenset(column.lower() for column in columns)
        self.views = frozenset(table for table in self.allowed if real[table] == "view")
        # an empty column is COUNT(*), or the name of a common table expression, which is any name that is not taken:
        # by a table, by SQLite's own, by a module whose tables exist without being created
        modules = {row[0].lower() for row in connection.execute("PRAGMA module_list")}
        self.taken = frozenset(real) | modules

    def authorize(self, action: int, first: str | None, second: str | None, _: str | None, reader: str | None) -> int:
        """SQLite's question before each thing that a statement would do."""
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second is not None and second.lower() in SQLITE_FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first is not None and self._may_read(first.lower(), second, reader):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _may_read(self, table: str, column: str | None, reader: str | None) -> bool:
        if reader is not None and reader.lower() in self.views:
            return True
        if table in self.allowed:
            return not column or column.lower() in self.allowed[table]
        return not column and table not in self.taken and not table.startswith(("sqlite_", "pragma_"))

    def started(self, _: str) -> None:
        """A statement starts."""
        self.deadline = time.monotonic() + self.timeout

    def late(self) -> int:
        """Whether the statement has to be interrupted."""
        return int(time.monotonic() > self.deadline)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


def postgres_reader_sql(
    tables: Mapping[str, Sequence[str]],
    *,
    role: str = "langchain_reader",
    schema: str = "public",
    statement_timeout: float = 2.0,
    connection_limit: int = 10,
) -> str:
    """The SQL that makes a PostgreSQL role which can read some columns of some tables, and nothing else.

    Run it as the owner of the tables, in the database that holds them, and give the tool a connection of that role
    (``ALTER ROLE ... PASSWORD`` is up to you). The grants are the wall; the settings (read only, time limit) are a seat
    belt that the role can take off. What the role can still call, like every role: advisory locks, NOTIFY, the system
    catalogs; the check refuses those.

    Args:
        tables: The columns that may be read, by table.
        role: Name of the role.
        schema: The schema that the tables are in.
        statement_timeout: Seconds that one statement may take.
        connection_limit: Most connections of the role at a time.

    Raises:
        ConfigError: A name is not plain, or a number is not positive.
    """
    for name in (role, schema, *tables, *(column for columns in tables.values() for column in columns)):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"postgres_reader_sql: {name!r} must be a plain name: letters, digits and _")
    if not tables or not all(tables.values()):
        raise ConfigError("postgres_reader_sql(tables=...) needs at least one table, and a column for each")
    milliseconds = _positive(statement_timeout * 1000, "statement_timeout")
    limit = _positive(connection_limit, "connection_limit")
    lines = [
        f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS;',
        f'ALTER ROLE "{role}" CONNECTION LIMIT {limit};',
        f'ALTER ROLE "{role}" SET default_transaction_read_only = on;',
        f'ALTER ROLE "{role}" SET statement_timeout = {milliseconds};',
        f'ALTER ROLE "{role}" SET lock_timeout = {milliseconds};',
        f'ALTER ROLE "{role}" SET idle_in_transaction_session_timeout = {10 * milliseconds};',
        f'ALTER ROLE "{role}" SET search_path = "{schema}";',
        # what PUBLIC may do, the role may do
        f'REVOKE CREATE ON SCHEMA "{schema}" FROM PUBLIC;',
        f'REVOKE ALL ON ALL TABLES IN SCHEMA "{schema}" FROM PUBLIC;',
        f'REVOKE ALL ON ALL SEQUENCES IN SCHEMA "{schema}" FROM PUBLIC;',
        f'REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA "{schema}" FROM PUBLIC;',
        "DO $$ BEGIN EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;",
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}";',
    ]
    for table, columns in tables.items():
        listed = ", ".join(f'"{column}"' for column in columns)
        lines.append(f'GRANT SELECT ({listed}) ON "{schema}"."{table}" TO "{role}";')
    return "\n".join(lines) + "\n"


def _positive(number: Any, what: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 1:
        raise ConfigError(f"postgres_reader_sql({what}) must be positive")
    return int(number)
