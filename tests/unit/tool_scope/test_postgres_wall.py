"""A real PostgreSQL: the role's grants alone, the check alone, and both."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given, settings
from langchain_core.tools import tool
from scoped_kit import ANN, BOB, outcome, scoped
from sql_cases import ALLOWED, REFUSED, TABLES
from test_sqlite_wall import QUERY

from langchain_guard import Arg, ConfigError, ToolRule
from langchain_guard.tool_scope import postgres_reader_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

SETUP = """
CREATE TABLE customers (id int PRIMARY KEY, name text, city text, email text, ssn text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total double precision, created_at timestamp, note text);
CREATE TABLE staff (id int PRIMARY KEY, name text, salary int);
CREATE SEQUENCE counter;
CREATE FUNCTION widest() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT max(ssn) FROM customers';
INSERT INTO customers VALUES (1, 'Ann', 'Oslo', 'ann@x.test', 's-1'), (2, 'bob', 'Rome', 'bob@x.test', 's-2');
INSERT INTO orders VALUES (1, 1, 50, '2024-01-05', 'n-1'), (2, 1, 150, '2024-02-06 10:00', 'n-2'), (3, 2, 20, '2024-02-07', 'n-3');
INSERT INTO staff VALUES (1, 'Zed', 9000);
"""


def _binary(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or str(found[-1])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    """A server of its own on a loopback port, run as an ordinary user, since PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="langchain-guard-pg-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    port = _free_port()
    common: dict[str, Any] = {"check": True, "cwd": folder, "capture_output": True, **as_user}
    data = folder / "data"
    subprocess.run([_binary("initdb"), "-D", data, "-U", "owner", "-A", "trust", "--no-sync", "-E", "UTF8"], **common)
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories= -c fsync=off"
    try:
        subprocess.run([_binary("pg_ctl"), "-D", data, "-o", options, "-l", folder / "log", "-w", "start"], **common)
        yield {"host": "127.0.0.1", "port": port, "dbname": "shop", "autocommit": True}
    finally:
        subprocess.run([_binary("pg_ctl"), "-D", data, "-m", "immediate", "stop"], **{**common, "check": False})
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def shop(server: dict[str, Any]) -> dict[str, Any]:
    with psycopg.connect(**{**server, "dbname": "postgres"}, user="owner") as connection:
        connection.execute("CREATE DATABASE shop")
    with psycopg.connect(**server, user="owner") as connection:
        connection.execute(SETUP)
        connection.execute(postgres_reader_sql(TABLES, role="reader", statement_timeout=5.0))
    return server


@pytest.fixture(scope="module")
def reader(shop: dict[str, Any]) -> Iterator[Any]:
    with psycopg.connect(**shop, user="reader") as connection:
        yield connection


@pytest.fixture(scope="module")
def owner(shop: dict[str, Any]) -> Iterator[Any]:
    with psycopg.connect(**shop, user="owner") as connection:
        yield connection


pytestmark = pytest.mark.postgres

WALL = [
    "DELETE FROM orders",
    "INSERT INTO orders (id) VALUES (9)",
    "WITH d AS (DELETE FROM orders RETURNING id) SELECT id FROM d",
    "SELECT id INTO other FROM orders",
    "CREATE TABLE t (a int)",
    "CREATE TEMP TABLE t (a int)",
    "TRUNCATE orders",
    "SELECT id FROM orders FOR UPDATE",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "SET TRANSACTION READ WRITE; DELETE FROM orders",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM orders",
    "SELECT nextval('counter')",
    "SELECT widest()",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT pg_ls_dir('.')",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY orders TO '/tmp/orders'",
    "SELECT lo_import('/etc/hostname')",
    "SELECT ssn FROM customers",
    "SELECT * FROM customers",
    "SELECT c FROM customers c",
    "SELECT id FROM customers WHERE ssn = 's-1'",
    "SELECT id FROM customers ORDER BY ssn",
    "SELECT salary FROM staff",
    "SELECT count(*) FROM staff",
    "SET ROLE owner",
    "ALTER ROLE reader SUPERUSER",
    "SELECT pg_sleep(30)",
]


@pytest.mark.parametrize("sql", WALL)
def test_the_grants_alone_refuse(reader: Any, owner: Any, sql: str) -> None:
    with pytest.raises(psycopg.Error):
        reader.execute(sql)
    assert owner.execute("SELECT count(*), sum(total) FROM orders").fetchone() == (3, 220)


def test_a_read_only_setting_alone_is_no_wall(shop: dict[str, Any]) -> None:
    """Why there are grants: a SELECT switches the setting off, and the connection keeps it so."""
    with psycopg.connect(**shop, user="owner", options="-c default_transaction_read_only=on") as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("UPDATE staff SET salary = 1")
        connection.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
        connection.execute("UPDATE staff SET salary = salary")
    verdict, _ = CHECK.check("SELECT set_config('default_transaction_read_only', 'off', false)")
    assert verdict.blocked


def test_the_reader_keeps_no_write_when_it_takes_the_seat_belt_off(reader: Any) -> None:
    reader.execute("SET default_transaction_read_only = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("DELETE FROM orders")
    reader.execute("RESET default_transaction_read_only")


CHECK = Arg.sql(dialect="postgres", tables=TABLES)


@pytest.mark.parametrize("sql", ALLOWED["postgres"])
def test_what_the_check_passes_runs_as_the_reader(reader: Any, owner: Any, sql: str) -> None:
    canonical = CHECK.check(sql)[1]
    rows = reader.execute(canonical).fetchall()
    if "*" not in sql.replace("COUNT(*)", ""):
        assert sorted(map(repr, rows)) == sorted(map(repr, owner.execute(sql).fetchall()))


@pytest.mark.parametrize("dialect", REFUSED)
def test_whatever_the_check_passes_asks_for_no_privilege_that_the_reader_lacks(reader: Any, dialect: str) -> None:
    """The grants as an oracle: queries of every dialect, read as PostgreSQL's."""
    passed = 0
    for sql in (*REFUSED[dialect], *ALLOWED[dialect]):
        verdict, canonical = CHECK.check(sql)
        if not verdict.blocked:
            passed += 1
            try:
                reader.execute(f"EXPLAIN {canonical}")
            except psycopg.errors.InsufficientPrivilege as error:
                pytest.fail(f"{canonical}: {error}")
            except psycopg.Error:
                pass  # another dialect's function or type
    assert passed >= 5


@settings(max_examples=150)
@given(QUERY)
def test_no_generated_query_that_passes_asks_for_more_than_the_reader_may(reader: Any, sql: str) -> None:
    verdict, canonical = CHECK.check(sql)
    if not verdict.blocked:
        try:
            reader.execute(f"EXPLAIN {canonical}")
        except psycopg.errors.InsufficientPrivilege as error:
            pytest.fail(f"{canonical}: {error}")
        except psycopg.Error:
            pass  # types that do not fit


NAMES_IN_THE_WAY = [
    "SELECT id AS ssn FROM customers ORDER BY ssn || ''",
    "SELECT count(*) AS ssn FROM customers GROUP BY ssn",
    "SELECT id AS ssn FROM customers GROUP BY id, ssn",
    "SELECT id AS ssn FROM customers WHERE ssn = 's-1'",
]


@pytest.mark.parametrize("sql", NAMES_IN_THE_WAY)
def test_a_result_named_like_a_hidden_column_does_not_find_it(owner: Any, sql: str) -> None:
    """PostgreSQL looks for input columns first in GROUP BY and in expressions; the owner could read them."""
    verdict, canonical = CHECK.check(sql)
    assert not verdict.blocked, "the name is a result's"
    try:
        rows = owner.execute(canonical).fetchall()
    except (psycopg.errors.UndefinedColumn, psycopg.errors.GroupingError):
        return
    assert sorted(rows) == [(1,), (2,)]


def test_a_row_filter_is_applied_before_a_condition_that_could_tell_something(owner: Any) -> None:
    own = Arg.sql(
        dialect="postgres",
        tables=TABLES,
        row_filter={"orders": "customer_id = (SELECT id FROM customers WHERE lower(name) = :user)"},
    )
    probe = "SELECT id FROM orders WHERE 1 / (total - 20) < 5"
    assert owner.execute(own.check(probe, ANN)[1]).fetchall() == [(1,), (2,)]
    with pytest.raises(psycopg.errors.DivisionByZero):
        owner.execute(own.check(probe, BOB)[1])


def test_a_tool_with_both_walls(reader: Any) -> None:
    @tool
    def query_db(sql: str) -> str:
        """Ask the shop's database one question in SQL."""
        return str(reader.execute(sql).fetchall())

    own = Arg.sql(dialect="postgres", tables=TABLES, row_filter={"customers": "lower(name) = :user"})
    made = scoped(query_db, ToolRule(args={"sql": own}))
    assert outcome(made, {"sql": "SELECT * FROM customers"}, ANN.config()) == (
        "success",
        "[(1, 'Ann', 'Oslo', 'ann@x.test')]",
    )
    for sql in ("SELECT ssn FROM customers", "DELETE FROM orders", "SELECT pg_sleep(30)", "SELECT 1; SELECT 2"):
        assert outcome(made, {"sql": sql}, ANN.config())[0] == "error"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tables": {}}, "at least one table"),
        ({"tables": {"orders": []}}, "a column for each"),
        ({"tables": {'or"ders': ["id"]}}, "plain name"),
        ({"tables": {"orders": ['id") ON staff TO PUBLIC; --']}}, "plain name"),
        ({"tables": TABLES, "role": "a b"}, "plain name"),
        ({"tables": TABLES, "schema": ""}, "plain name"),
        ({"tables": TABLES, "statement_timeout": 0}, "statement_timeout"),
        ({"tables": TABLES, "connection_limit": True}, "connection_limit"),
    ],
)
def test_bad_grants_fail_when_they_are_written(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        postgres_reader_sql(**arguments)
