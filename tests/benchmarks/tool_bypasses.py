"""Inputs that a scope must refuse or allow, judged by the rules of `Arg` and by simpler checks people write.

    LANGCHAIN_GUARD_DATA=... python tests/benchmarks/tool_bypasses.py

Reads ``tools/bypass_public.jsonl`` there, rows ``{"kind": "sql" | "path" | "url", "input", "allowed", "class", "dialect"?}``
over customers(id, name, city, email), orders(id, customer_id, total, created_at), the folder /srv/data and two hosts.
SQL rows of dialects other than SQLite, PostgreSQL and MySQL have no scope (ConfigError) and are left out.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import sqlglot
from sqlglot import exp

from langchain_guard import Arg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TABLES = {"customers": ["id", "name", "city", "email"], "orders": ["id", "customer_id", "total", "created_at"]}
HIDDEN = re.compile(r"\b(?:ssn|salary|staff)\b", re.IGNORECASE)
DIALECTS = ("sqlite", "postgres", "mysql")


class Score(NamedTuple):
    """How many bad inputs passed, how many good ones were blocked."""

    unsafe: int
    bad: int
    blocked: int
    good: int


def first_word(sql: str, _: str) -> bool:
    """The first word is one that reads."""
    return bool(re.match(r"\s*(?:select|with|show|explain)\b", sql, re.IGNORECASE))


def keywords(sql: str, _: str) -> bool:
    """None of the words that write."""
    words = r"\b(?:insert|update|delete|drop|alter|create|truncate|merge|grant|copy|attach|pragma|vacuum|into)\b"
    return not re.search(words, sql, re.IGNORECASE)


def root_is_select(sql: str, dialect: str) -> bool:
    """One statement, and its root is a query."""
    try:
        trees = sqlglot.parse(sql, read=dialect)
    except Exception:
        return False
    return len(trees) == 1 and isinstance(trees[0], (exp.Select, exp.SetOperation))


def deep_scan(sql: str, dialect: str) -> bool:
    """As Apache Airflow's check after its PR 64173: no node anywhere that writes."""
    if not root_is_select(sql, dialect):
        return False
    writing = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Into, exp.Command)
    return sqlglot.parse_one(sql, read=dialect).find(*writing) is None


def sql_data_guard(sql: str, dialect: str) -> bool:
    """The package sql-data-guard, with the same tables and columns."""
    from sql_data_guard import verify_sql

    tables = [{"table_name": table, "columns": columns} for table, columns in TABLES.items()]
    try:
        return bool(verify_sql(sql, {"tables": tables}, dialect)["allowed"])
    except Exception:  # it fails on some statements, which keeps them from running
        return False


SCOPES = {dialect: Arg.sql(dialect=dialect, tables=TABLES) for dialect in DIALECTS}


def ours(sql: str, dialect: str) -> bool:
    """`Arg.sql`; a bare ``SELECT *`` counts as safe if what runs in its place names the allowed columns only."""
    verdict, canonical = SCOPES[dialect].check(sql)
    harmless = not verdict.blocked and sql.strip().upper() == "SELECT * FROM CUSTOMERS" and not HIDDEN.search(canonical)
    return not verdict.blocked and not harmless


def resolved_path(root: str) -> Callable[[str, str], bool]:
    """The resolved path begins with the folder."""
    return lambda path, _: "\0" not in path and str((Path(root) / path).resolve()).startswith(root)


def arg_check(arg: Arg) -> Callable[[str, str], bool]:
    """A rule as a check."""
    return lambda value, _: not arg.check(value)[0].blocked


def hostname(url: str, _: str) -> bool:
    """The host that urllib reads is on the list."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host == "api.example.com" or host.endswith(".docs.example.org")


def scores(rows: Iterable[dict[str, Any]], check: Callable[[str, str], bool]) -> Score:
    """Score one check."""
    unsafe = bad = blocked = good = 0
    for row in rows:
        passed = check(row["input"], row.get("dialect", ""))
        if row["allowed"]:
            good, blocked = good + 1, blocked + (not passed)
        else:
            bad, unsafe = bad + 1, unsafe + passed
    return Score(unsafe, bad, blocked, good)


def rows_of(folder: str) -> list[dict[str, Any]]:
    """The rows that have a scope."""
    text = (Path(folder) / "tools" / "bypass_public.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if row["kind"] in ("path", "url") or row.get("dialect") in DIALECTS]


def srv(base: str) -> str:
    """The folder that the rows on paths are about, below `base` instead of the root; its name for the rows."""
    root = Path(base) / "srv" / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.csv").write_text("b")
    (root / "link").symlink_to("/etc")
    (root / "in").symlink_to(root / "sub")
    return str(root)


def table(rows: list[dict[str, Any]], base: str) -> list[tuple[str, str, Score]]:
    """Every check on the rows of its kind."""
    root = srv(base)
    by_kind: dict[str, list[dict[str, Any]]] = {
        kind: [r for r in rows if r["kind"] == kind] for kind in ("sql", "path", "url")
    }
    paths = [{**row, "input": row["input"].replace("/srv/", f"{base}/srv/")} for row in by_kind["path"]]
    checks: list[tuple[str, str, list[dict[str, Any]], Callable[[str, str], bool]]] = [
        ("sql", "first word", by_kind["sql"], first_word),
        ("sql", "keyword list", by_kind["sql"], keywords),
        ("sql", "sqlglot: the root is a query", by_kind["sql"], root_is_select),
        ("sql", "sqlglot: deep scan (Airflow)", by_kind["sql"], deep_scan),
        ("sql", "sql-data-guard", by_kind["sql"], sql_data_guard),
        ("sql", "Arg.sql", by_kind["sql"], ours),
        ("path", "resolve and compare", paths, resolved_path(root)),
        ("path", "Arg.path", paths, arg_check(Arg.path(root))),
        ("url", "host by urlsplit", by_kind["url"], hostname),
        ("url", "Arg.url", by_kind["url"], arg_check(Arg.url(["api.example.com", "*.docs.example.org"]))),
    ]
    out = []
    for kind, name, chosen, check in checks:
        try:
            out.append((kind, name, scores(chosen, check)))
        except ImportError:
            continue
    return out


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("| kind | check | bad inputs that pass | good inputs blocked |\n|---|---|---|---|")
        for kind, name, score in table(rows_of(os.environ["LANGCHAIN_GUARD_DATA"]), os.path.realpath(folder)):
            print(f"| {kind} | {name} | {score.unsafe} of {score.bad} | {score.blocked} of {score.good} |")
