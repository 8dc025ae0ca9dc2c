"""`Arg.sql`: what is refused, what runs, and what runs instead."""

from __future__ import annotations

import collections
import logging
import pickle
import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest
from scoped_kit import ANN, BOB
from sql_cases import ALLOWED, REFUSED, TABLES

from langchain_guard import Arg, ConfigError, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCOPES = {dialect: Arg.sql(dialect=dialect, tables=TABLES) for dialect in ("sqlite", "postgres", "mysql")}

SETUP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, email TEXT, ssn TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, total REAL, created_at TEXT, note TEXT);
CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT, salary INTEGER);
INSERT INTO customers VALUES (1, 'Ann', 'Oslo', 'ann@x.test', 's-1'), (2, 'bob', 'Rome', 'bob@x.test', 's-2'),
  (3, 'Cy', NULL, 'cy@x.test', 's-3'), (4, 'Al', 'Oslo', 'al@x.test', 's-4');
INSERT INTO orders VALUES (1, 1, 50, '2024-01-05', 'n-1'), (2, 1, 150, '2024-02-06 10:00:00', 'n-2'),
  (3, 2, 20, '2024-02-07', 'n-3'), (4, 4, 75.5, '2024-11-20', 'n-4');
INSERT INTO staff VALUES (1, 'Zed', 9000);
"""


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SETUP)
    yield connection
    connection.close()


def each(cases: dict[str, list[str]]) -> list[Any]:
    return [pytest.param(dialect, sql, id=f"{dialect}-{sql[:60]!r}") for dialect in cases for sql in cases[dialect]]


@pytest.mark.parametrize(("dialect", "sql"), each(REFUSED))
def test_refused(dialect: str, sql: str) -> None:
    verdict, canonical = SCOPES[dialect].check(sql)
    assert verdict.blocked
    assert canonical is None
    for word in ("ssn", "salary", "staff", "passwd"):
        assert word not in str(verdict.details)


@pytest.mark.parametrize(("dialect", "sql"), each(ALLOWED))
def test_allowed(dialect: str, sql: str) -> None:
    verdict, canonical = SCOPES[dialect].check(sql)
    assert not verdict.blocked, verdict.details
    assert "ssn" not in canonical
    assert "staff" not in canonical
    assert " LIMIT " in canonical


def _has_star(sql: str) -> bool:
    return "*" in sql.lower().replace("count(*)", "")


@pytest.mark.parametrize("sql", [sql for sql in ALLOWED["sqlite"] if not _has_star(sql)])
def test_what_runs_instead_gives_the_same_rows(sql: str, database: sqlite3.Connection) -> None:
    given = sql.removeprefix("(").removesuffix(")") if sql.startswith("(") else sql  # SQLite takes no outer parentheses
    expected = database.execute(given).fetchall()
    got = database.execute(SCOPES["sqlite"].check(sql)[1]).fetchall()
    assert collections.Counter(got) == collections.Counter(expected)


def run(
    database: sqlite3.Connection, sql: str, scope: Arg = SCOPES["sqlite"], who: Identity | None = None
) -> list[Any]:
    verdict, canonical = scope.check(sql, who)
    assert not verdict.blocked, verdict.details
    return database.execute(canonical).fetchall()


def test_a_star_is_the_allowed_columns(database: sqlite3.Connection) -> None:
    assert run(database, "SELECT * FROM customers WHERE id = 1") == [(1, "Ann", "Oslo", "ann@x.test")]
    assert run(database, "SELECT o.* FROM orders o WHERE id = 1") == [(1, 1, 50.0, "2024-01-05")]
    assert run(database, "SELECT * FROM (SELECT * FROM orders) WHERE id = 3") == [(3, 2, 20.0, "2024-02-07")]
    assert run(database, "WITH a AS (SELECT * FROM customers) SELECT * FROM a WHERE id = 2") == [
        (2, "bob", "Rome", "bob@x.test")
    ]
    assert run(database, "SELECT * FROM customers JOIN orders USING (id) WHERE id = 4") == [
        (4, "Al", "Oslo", "al@x.test", 4, 75.5, "2024-11-20")
    ]
    assert run(database, "SELECT * FROM (SELECT COUNT(*) FROM orders)") == [(4,)]


CANONICAL = [
    (
        "sqlite",
        "select NAME from Customers -- all\n limit 7",
        (
            'SELECT NAME FROM (SELECT "customers"."id", "customers"."name", "customers"."city", "customers"."email" '
            'FROM "customers") AS Customers LIMIT 7'
        ),
    ),
    (
        "mysql",
        "SELECT o.total FROM orders o LIMIT 2, 5000",
        (
            "SELECT o.total FROM (SELECT `orders`.`id`, `orders`.`customer_id`, `orders`.`total`, `orders`.`created_at` "
            "FROM `orders`) AS o LIMIT 1000 OFFSET 2"
        ),
    ),
    (
        "postgres",
        "SELECT id FROM orders FETCH FIRST ROW ONLY",
        None,
    ),
    ("sqlite", "SELECT 1 AS one UNION SELECT 2", "SELECT 1 AS one UNION SELECT 2 LIMIT 1000"),
]


@pytest.mark.parametrize(("dialect", "sql", "canonical"), CANONICAL)
def test_what_runs_instead(dialect: str, sql: str, canonical: str | None) -> None:
    assert SCOPES[dialect].check(sql)[1] == canonical


FOLDED = [
    ("mysql", "WITH STAFF AS (SELECT 1 AS x) SELECT x FROM staff", "FROM STAFF AS staff "),
    ("sqlite", 'WITH "des\u212a" AS (SELECT 1 AS x) SELECT x FROM desk', 'FROM "des\u212a" AS desk '),
    ("postgres", 'WITH \u00c9 AS (SELECT 1 AS x) SELECT x FROM "\u00e9"', 'FROM \u00c9 AS "\u00e9" '),
]


@pytest.mark.parametrize(("dialect", "sql", "reads"), FOLDED)
def test_a_name_that_we_take_for_a_cte_is_one_for_the_database_too(dialect: str, sql: str, reads: str) -> None:
    """MySQL may tell capitals apart, and no database folds all of Unicode: it would read a table of the other name."""
    assert reads in SCOPES[dialect].check(sql)[1]


def test_a_folded_cte_does_not_open_a_table(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "desks.db") as desks:
        desks.execute("CREATE TABLE desk (x)")
        desks.execute("INSERT INTO desk VALUES ('secret')")
        _, runs = SCOPES["sqlite"].check(FOLDED[1][1])
        assert desks.execute(runs).fetchall() == [(1,)]
    desks.close()


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (
            "postgres",
            "SELECT date_part('day FROM created_at), (SELECT name FROM staff), date(id', created_at) FROM orders",
        ),
        ("mysql", "SELECT TIMESTAMPDIFF(`day, 1, 2), LOAD_FILE('/x'), ABS(1`, created_at, NOW()) FROM orders"),
    ],
)
def test_what_is_written_is_read_back(dialect: str, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second wall: were such a keyword let through, the text would still be seen to hold more than the tree."""
    monkeypatch.setattr("langchain_guard.tool_scope.sql._KEYWORDS", re.compile(".*", re.DOTALL))
    assert SCOPES[dialect].check(sql)[0].blocked


def test_rows_are_bounded_and_a_smaller_limit_stays(database: sqlite3.Connection) -> None:
    few = Arg.sql(dialect="sqlite", tables=TABLES, max_rows=2)
    assert len(run(database, "SELECT id FROM orders", few)) == 2
    assert len(run(database, "SELECT id FROM orders LIMIT 3", few)) == 2
    assert len(run(database, "SELECT id FROM orders LIMIT 1", few)) == 1
    assert len(run(database, "SELECT id FROM orders UNION ALL SELECT id FROM customers", few)) == 2


FILTERED = [
    {"orders": "customer_id = (SELECT c.id FROM customers AS c WHERE lower(c.name) = :user)"},
    {"orders": lambda who: f"customer_id = {1 if who.id == 'ann' else 2}"},
]


@pytest.mark.parametrize("row_filter", FILTERED)
def test_row_filters_hold_in_every_place_that_a_table_can_stand_in(
    database: sqlite3.Connection, row_filter: Any
) -> None:
    own = Arg.sql(dialect="sqlite", tables={**TABLES, "orders": ["id", "total"]}, row_filter=row_filter)
    for who, ids in ((ANN, [1, 2]), (BOB, [3])):
        for sql in (
            "SELECT id FROM orders ORDER BY id",
            "SELECT id FROM orders WHERE 1 = 1 OR 1 = 0 ORDER BY id",
            "WITH a AS (SELECT * FROM orders) SELECT id FROM a ORDER BY id",
            "SELECT a.id FROM orders a LEFT JOIN orders b ON a.id = b.id WHERE b.id IS NOT NULL ORDER BY 1",
            "SELECT id FROM (SELECT id FROM orders UNION SELECT id FROM orders) ORDER BY id",
        ):
            assert [row[0] for row in run(database, sql, own, who)] == ids
        assert run(database, "SELECT (SELECT COUNT(*) FROM orders)", own, who) == [(len(ids),)]
        assert run(database, "SELECT COUNT(*) FROM customers", own, who) == [(4,)]
    assert own.check("SELECT customer_id FROM orders", ANN)[0].blocked, "the filter may use what the query may not"


def test_a_row_filter_needs_to_know_the_caller() -> None:
    own = Arg.sql(dialect="sqlite", tables=TABLES, row_filter={"orders": "customer_id = :user"})
    assert own.check("SELECT id FROM orders")[0].blocked
    assert own.check("SELECT id FROM orders", Identity(ip="203.0.113.9"))[0].blocked
    assert not own.check("SELECT id FROM customers")[0].blocked, "no filter on this one"
    lost = Arg.sql(dialect="sqlite", tables=TABLES, row_filter={"orders": lambda who: None})
    assert lost.check("SELECT id FROM orders", ANN)[0].blocked
    broken = Arg.sql(dialect="sqlite", tables=TABLES, row_filter={"orders": lambda who: who.missing})
    assert broken.check("SELECT id FROM orders", ANN)[0].findings[0].rule == "unavailable"


@pytest.mark.parametrize(
    "user", ["x' OR '1'='1", "x'; DROP TABLE orders; --", "\u2019 OR 1=1", "a:user", '" OR 1=1 --']
)
@pytest.mark.parametrize("dialect", SCOPES)
def test_a_callers_name_is_a_value_and_never_sql(dialect: str, user: str, database: sqlite3.Connection) -> None:
    own = Arg.sql(dialect=dialect, tables=TABLES, row_filter={"orders": "note = :user AND 'a:user' = 'a:user'"})
    _, canonical = own.check("SELECT id FROM orders", Identity(user=user))
    literal = user.replace("'", "''")
    assert f"= '{literal}' AND 'a:user' = 'a:user'" in canonical
    if dialect == "sqlite":
        database.execute("UPDATE orders SET note = ? WHERE id = 3", (user,))
        assert database.execute(canonical).fetchall() == [(3,)]


def test_a_backslash_in_a_callers_name_is_refused() -> None:
    own = Arg.sql(dialect="mysql", tables=TABLES, row_filter={"orders": "note = :user"})
    assert own.check("SELECT id FROM orders", Identity(user="a\\"))[0].blocked


@pytest.mark.parametrize(
    ("dialect", "fence"),
    [("sqlite", "LIMIT 9223372036854775807"), ("postgres", "OFFSET 0"), ("mysql", "LIMIT 18446744073709551615")],
)
def test_a_querys_own_conditions_come_after_the_row_filter(dialect: str, fence: str) -> None:
    own = Arg.sql(dialect=dialect, tables=TABLES, row_filter={"orders": "customer_id = 1"})
    _, canonical = own.check("SELECT id FROM orders WHERE 1 / (total - 100) > 0")
    assert f"WHERE (customer_id = 1) {fence}) AS orders WHERE" in canonical


def test_a_schema_can_be_pinned() -> None:
    pinned = Arg.sql(dialect="postgres", tables={"shop.orders": ["id"]})
    assert pinned.check("SELECT id FROM orders")[1] == (
        'SELECT id FROM (SELECT "orders"."id" FROM "shop"."orders") AS orders LIMIT 1000'
    )
    assert pinned.check("SELECT id FROM shop.orders")[0].blocked


def test_names_are_matched_as_the_database_does() -> None:
    exact = Arg.sql(dialect="postgres", tables={"Orders": ["orderId"]})
    assert not exact.check('SELECT "orderId" FROM "Orders"')[0].blocked
    for sql in ("SELECT orderId FROM Orders", 'SELECT "orderid" FROM "Orders"', 'SELECT "orderId" FROM orders'):
        assert exact.check(sql)[0].blocked
    folded = Arg.sql(dialect="mysql", tables={"Orders": ["orderId"]})
    assert "FROM `Orders`" in folded.check("SELECT ORDERID FROM orders")[1]


HOSTILE = [
    "SELECT " + "(" * 2000 + "1" + ")" * 2000,
    "SELECT " + "NOT " * 2000 + "1",
    "SELECT " + "CASE WHEN " * 900,
    "SELECT " + " - " * 3000 + "1",
    "SELECT 1 WHERE " + " OR ".join(["1=1"] * 1400),
    "SELECT " + "abs(" * 30 + "1" + ")" * 30,
    "SELECT 1" + " UNION SELECT 1" * 600,
    "SELECT x FROM " + "(SELECT x FROM " * 200,
    "SELECT " + "a." * 3000 + "b",
    "SELECT 1 AS a" + ", 1" * 1900,
    "SELECT '" + "x" * 20_000 + "'",
    "SELECT " + "[" * 3000,
    "SELECT id FROM customers" + ", customers" * 30,
    "SELECT id FROM customers c0" + "".join(f", customers c{n}" for n in range(1, 30)),
]


@pytest.mark.parametrize("sql", HOSTILE, ids=lambda sql: sql[:24])
@pytest.mark.parametrize("dialect", SCOPES)
def test_hostile_queries_end_in_an_answer(dialect: str, sql: str) -> None:
    verdict, canonical = SCOPES[dialect].check(sql)
    assert verdict.blocked == (canonical is None)


def test_too_many_tables_are_refused() -> None:
    assert SCOPES["sqlite"].check(HOSTILE[-1])[0].blocked


def test_the_text_of_a_query_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for dialect, cases in REFUSED.items():
            for sql in cases:
                SCOPES[dialect].check(sql)
    assert [record.message for record in caplog.records if record.name.startswith("sqlglot")] == []


def test_scopes_survive_pickling_and_have_a_data_form() -> None:
    scope: Any = Arg.sql(dialect="sqlite", tables=TABLES, max_rows=5, row_filter={"orders": "total > 1"})
    assert pickle.loads(pickle.dumps(scope)) == scope
    assert scope.data() == {
        "sql": {"dialect": "sqlite", "tables": TABLES, "max_rows": 5, "row_filter": {"orders": "total > 1"}}
    }
    with pytest.raises(ConfigError, match="no data form"):
        Arg.sql(dialect="sqlite", tables=TABLES, row_filter={"orders": lambda who: "1"}).data()


@pytest.mark.parametrize("value", [None, 5, ["SELECT 1"], b"SELECT 1"])
def test_only_a_str_is_a_query(value: Any) -> None:
    assert SCOPES["sqlite"].check(value)[0].blocked


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dialect": "duckdb", "tables": TABLES}, "must be one of 'sqlite', 'postgres', 'mysql'"),
        ({"dialect": "", "tables": TABLES}, "must be one of"),
        ({"dialect": "sqlite", "tables": {}}, "must map table names"),
        ({"dialect": "sqlite", "tables": ["orders"]}, "must map table names"),
        ({"dialect": "sqlite", "tables": {"orders": "id"}}, "list of columns"),
        ({"dialect": "sqlite", "tables": {"orders": []}}, "at least one"),
        ({"dialect": "sqlite", "tables": {'or"ders': ["id"]}}, "table's name"),
        ({"dialect": "sqlite", "tables": {"a.b.c": ["id"]}}, "table's name"),
        ({"dialect": "sqlite", "tables": {"orders": ["i'd"]}}, "names of columns"),
        ({"dialect": "sqlite", "tables": {"a.orders": ["id"], "b.orders": ["id"]}}, "same name"),
        ({"dialect": "sqlite", "tables": TABLES, "max_rows": 0}, "max_rows"),
        ({"dialect": "sqlite", "tables": TABLES, "max_rows": True}, "max_rows"),
        ({"dialect": "sqlite", "tables": TABLES, "row_filter": {"staff": "1"}}, "none of the tables"),
        ({"dialect": "sqlite", "tables": TABLES, "row_filter": {"orders": 5}}, "SQL text or a callable"),
        ({"dialect": "sqlite", "tables": TABLES, "row_filter": {"orders": "id = ("}}, "does not parse"),
        ({"dialect": "sqlite", "tables": TABLES, "row_filter": {"orders": "id = :nobody"}}, ":nobody is none of"),
    ],
)
def test_bad_scopes_fail_when_they_are_built(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Arg.sql(**settings)


def test_without_sqlglot_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(ConfigError, match=r"langchain-guard\[sql\]"):
        Arg.sql(dialect="sqlite", tables=TABLES)
