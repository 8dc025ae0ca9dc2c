"""`readonly_sqlite`: what the connection itself refuses, and the check measured against it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import tool
from scoped_kit import outcome, scoped
from sql_cases import ALLOWED, REFUSED, TABLES
from test_sql import SETUP

from langchain_guard import Arg, ConfigError, ToolRule
from langchain_guard.tool_scope import readonly_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A real database file."""
    file = tmp_path / "shop.db"
    connection = sqlite3.connect(file)
    connection.executescript(SETUP)
    connection.execute("CREATE VIEW paid AS SELECT id, total, note FROM orders WHERE total > 60")
    connection.commit()
    connection.close()
    return file


@pytest.fixture
def wall(path: Path) -> Iterator[sqlite3.Connection]:
    connection = readonly_sqlite(path, TABLES)
    yield connection
    connection.close()


def test_what_is_allowed_can_be_read(wall: sqlite3.Connection) -> None:
    assert wall.execute("SELECT name FROM customers ORDER BY id LIMIT 1").fetchall() == [("Ann",)]
    assert wall.execute("SELECT COUNT(*) FROM orders").fetchall() == [(4,)]
    assert wall.execute("WITH a AS (SELECT total FROM orders) SELECT COUNT(*), SUM(total) FROM a").fetchall() == [
        (4, 295.5)
    ]


ATTACKS = [
    "DELETE FROM customers",
    "UPDATE orders SET total = 0",
    "DROP TABLE staff",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "PRAGMA query_only = 0",
    "PRAGMA writable_schema = 1",
    "PRAGMA table_info(staff)",
    "ATTACH '{dir}/new.db' AS n",
    "ATTACH 'file:{dir}/new.db?mode=rwc' AS n",
    "ATTACH '{dir}/shop.db' AS again",
    "VACUUM INTO '{dir}/copy.db'",
    "BEGIN IMMEDIATE",
    "SELECT salary FROM staff",
    "SELECT COUNT(*) FROM staff",
    "SELECT ssn FROM customers",
    "SELECT id FROM customers WHERE ssn = 's-1'",
    "SELECT id FROM customers ORDER BY ssn",
    "SELECT * FROM customers",
    "SELECT name FROM sqlite_master",
    "SELECT COUNT(*) FROM sqlite_schema",
    "SELECT * FROM pragma_table_list",
    "SELECT COUNT(*) FROM pragma_table_info('staff')",
    "SELECT COUNT(*) FROM json_each('[1]')",
    "SELECT zeroblob(900000000)",
    "SELECT hex(randomblob(9000))",
    "SELECT load_extension('x')",
    "SELECT printf('%.*c', 900000000, 'x')",
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_the_wall_alone_refuses(wall: sqlite3.Connection, path: Path, sql: str) -> None:
    before = path.read_bytes(), sorted(path.parent.iterdir())
    with pytest.raises(sqlite3.DatabaseError):
        wall.execute(sql.format(dir=path.parent)).fetchall()
    assert (path.read_bytes(), sorted(path.parent.iterdir())) == before


@pytest.mark.parametrize("sql", ["ATTACH '{dir}/new.db' AS n", "VACUUM INTO '{dir}/copy.db'"])
def test_a_read_only_mode_alone_is_no_wall(path: Path, sql: str) -> None:
    """Why there is an authorizer: this is what ``mode=ro`` lets through."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.execute(sql.format(dir=path.parent))
    if sql.startswith("ATTACH"):
        connection.execute("CREATE TABLE n.t (a)")
    connection.close()
    assert len(list(path.parent.iterdir())) == 2


def test_scripts_of_several_statements_are_judged_one_by_one(wall: sqlite3.Connection, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        wall.executescript("SELECT id FROM customers; DELETE FROM customers;")
    assert path.read_bytes() == before


def test_a_statement_that_runs_too_long_is_interrupted(path: Path) -> None:
    wall = readonly_sqlite(path, TABLES, timeout=0.05)
    joins = ", ".join(f"orders o{n}" for n in range(14))
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        wall.execute(f"SELECT COUNT(*) FROM {joins}").fetchall()
    assert wall.execute("SELECT COUNT(*) FROM orders").fetchall() == [(4,)], "the next one has its own time"
    wall.close()


def test_with_closes_the_connection(path: Path) -> None:
    with readonly_sqlite(path, TABLES) as wall:
        assert wall.execute("SELECT COUNT(*) FROM orders").fetchall() == [(4,)]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        wall.execute("SELECT 1")


def test_a_view_can_be_in_scope_without_its_tables(path: Path) -> None:
    wall = readonly_sqlite(path, {"paid": ["id", "total"]})
    assert wall.execute("SELECT id, total FROM paid ORDER BY id").fetchall() == [(2, 150.0), (4, 75.5)]
    for sql in ("SELECT note FROM paid", "SELECT id FROM orders"):
        with pytest.raises(sqlite3.DatabaseError):
            wall.execute(sql)
    wall.close()


def test_the_connection_works_in_the_threads_of_a_tool(wall: sqlite3.Connection) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: wall.execute("SELECT COUNT(*) FROM orders").fetchall()).result() == [(4,)]


@pytest.mark.parametrize(
    ("tables", "settings_", "says"),
    [
        ({"nothing": ["id"]}, {}, "no table 'nothing'"),
        ({"orders": ["price"]}, {}, "no column 'price'"),
        (TABLES, {"timeout": 0}, "timeout"),
        (TABLES, {"path": "missing.db"}, "must be a database file"),
    ],
)
def test_a_scope_that_the_database_does_not_know_is_an_error(
    path: Path, tables: Any, settings_: Any, says: str
) -> None:
    given_path = path.parent / settings_.pop("path", path.name)
    with pytest.raises(ConfigError, match=says):
        readonly_sqlite(given_path, tables, **settings_)


# -- the check, judged by the authorizer


def reads_of(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    """What a query does beyond reading the columns in scope, as SQLite itself sees it."""
    beyond: list[tuple[Any, ...]] = []
    allowed = {(table, column) for table, columns in TABLES.items() for column in columns}

    def watch(action: int, first: Any, second: Any, *_: Any) -> int:
        fine = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION) or (
            action == sqlite3.SQLITE_READ and ((first, second) in allowed or (not second and first != "staff"))
        )
        if not fine:
            beyond.append((action, first, second))
        return sqlite3.SQLITE_OK

    connection.set_authorizer(watch)
    # what another dialect's function or syntax makes SQLite refuse has been seen until there
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute(f"EXPLAIN {sql}")
    connection.set_authorizer(None)
    return beyond


CHECK = Arg.sql(dialect="sqlite", tables=TABLES)
EVERY = sorted({sql for cases in (ALLOWED, REFUSED) for dialect in cases for sql in cases[dialect]})


@pytest.mark.parametrize("sql", EVERY)
def test_whatever_the_check_passes_reads_nothing_beyond(sql: str, database: sqlite3.Connection) -> None:
    """All queries of all dialects, read as SQLite's: some pass, and none of those reads a column out of scope."""
    verdict, canonical = CHECK.check(sql)
    if not verdict.blocked:
        assert reads_of(database, canonical) == []


def test_the_oracle_sees_what_is_beyond(database: sqlite3.Connection) -> None:
    assert (sqlite3.SQLITE_READ, "customers", "ssn") in reads_of(database, "SELECT id FROM customers ORDER BY ssn")
    assert (sqlite3.SQLITE_READ, "staff", "salary") in reads_of(database, "SELECT (SELECT max(salary) FROM staff)")


@pytest.fixture(scope="module")
def module_database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.executescript(SETUP)
    yield connection
    connection.close()


database = pytest.fixture(lambda module_database: module_database, name="database")

# Mostly what a scope allows, now and then what it does not: so that many queries pass, each close to the edge.
COLUMN = st.sampled_from(
    ["c.id", "o.id", "c.name", "o.total", "c.city", "o.customer_id"] * 8
    + ["id", "x", "c.ssn", "ssn", "o.note", "c.rowid"]
)
ALIAS = st.sampled_from(["x", "y", "id", "ssn", "total", "salary", "c", "o"])
TABLE = st.sampled_from(["customers", "orders"] * 12 + ["a", "staff", "main.customers"])
BINARY = st.sampled_from(["=", "<", "||", "AND", "OR", "IS", "LIKE", "+"])
FUNCTION = st.sampled_from(["max", "upper", "count", "length", "group_concat", "min", "abs", "lower", "hex"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}({})".format, FUNCTION, inner),
        st.builds("({} {} {})".format, inner, BINARY, inner),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner),
        st.builds("(SELECT {} FROM customers AS c, {} AS o LIMIT 1)".format, inner, TABLE),
        st.builds("EXISTS (SELECT 1 FROM {} AS o WHERE {})".format, TABLE, inner),
        st.builds("({} IN (SELECT {} FROM customers AS c, orders AS o))".format, inner, inner),
        st.builds("sum({}) OVER (PARTITION BY {} ORDER BY {})".format, inner, inner, inner),
    )


EXPRESSION = st.recursive(st.one_of(COLUMN, COLUMN, st.sampled_from(["1", "'a'", "NULL"])), _expressions, max_leaves=4)
SOURCE = st.one_of(
    st.builds("customers AS c JOIN orders AS o ON {}".format, EXPRESSION),
    st.builds("customers c LEFT JOIN orders o ON c.id = o.customer_id AND {}".format, EXPRESSION),
    st.builds("customers c, orders o JOIN {} x USING ({})".format, TABLE, st.sampled_from(["id", "id", "id", "ssn"])),
    st.builds("(SELECT {} AS {}, id FROM customers c) AS c, orders o".format, EXPRESSION, ALIAS),
    st.builds("(SELECT * FROM customers) c, (SELECT o.*, {} AS {} FROM orders o) o".format, EXPRESSION, ALIAS),
)
ITEM = st.one_of(EXPRESSION, EXPRESSION, st.sampled_from(["*", "c.*", "o.*", "COUNT(*)", "c.*", '"ssn"']))
SELECT = st.builds("SELECT {} AS {}, {} FROM {} WHERE {}".format, EXPRESSION, ALIAS, ITEM, SOURCE, EXPRESSION)
GROUPED = st.builds("{} GROUP BY {} HAVING {} ORDER BY {}".format, SELECT, EXPRESSION, EXPRESSION, ALIAS)
ORDERED = st.builds("{} ORDER BY {}".format, SELECT, EXPRESSION)
QUERY = st.one_of(
    SELECT,
    GROUPED,
    ORDERED,
    st.builds("WITH a AS ({}) SELECT {} FROM a JOIN customers c ON {}".format, SELECT, ITEM, EXPRESSION),
    st.builds("WITH a (id, {}) AS ({}) SELECT * FROM a".format, ALIAS, SELECT),
    st.builds("{} UNION ALL {} ORDER BY 1".format, SELECT, SELECT),
    st.builds("SELECT * FROM ({}) ORDER BY {}".format, SELECT, ALIAS),
)


@settings(max_examples=400)
@given(QUERY)
def test_no_generated_query_that_passes_reads_anything_beyond(module_database: sqlite3.Connection, sql: str) -> None:
    verdict, canonical = CHECK.check(sql)
    if not verdict.blocked:
        assert reads_of(module_database, canonical) == []


# -- both walls, in a tool


def test_a_tool_with_both_walls(path: Path) -> None:
    connection = readonly_sqlite(path, TABLES)

    @tool
    def query_db(sql: str) -> str:
        """Ask the shop's database one question in SQL."""
        return str(connection.execute(sql).fetchall())

    made = scoped(query_db, ToolRule(args={"sql": Arg.sql(dialect="sqlite", tables=TABLES, max_rows=2)}))
    assert outcome(made, {"sql": "SELECT * FROM customers"}) == (
        "success",
        "[(1, 'Ann', 'Oslo', 'ann@x.test'), (2, 'bob', 'Rome', 'bob@x.test')]",
    )
    for sql in ("SELECT ssn FROM customers", "DROP TABLE customers", "SELECT * FROM staff"):
        assert outcome(made, {"sql": sql})[0] == "error"
        with pytest.raises(sqlite3.DatabaseError):
            query_db.invoke({"sql": sql})
    connection.close()
