"""One read-only query over some columns of some tables.

A query is parsed in its own dialect and nothing of its text survives: what runs is written anew from a tree in which
every node, function and type is on a list (`sql_tables`), every table has become a subquery that exposes the allowed
columns of the allowed rows, every column has been found in one of them, and the number of rows is bounded. So what a
database cannot see in that subquery a query cannot ask for, however names are resolved.

The check is one wall of two: give the tool a connection that can do no more (`readonly_sqlite`, `postgres_reader_sql`).
It does not bound the work that a query makes; a time limit of the database does.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.arg import Arg, Asked, Violation, callable_data
from langchain_guard.tool_scope.sql_names import Names
from langchain_guard.tool_scope.sql_tables import (
    DIALECTS,
    FUNCTIONS,
    FUNCTIONS_OF,
    IGNORED,
    NAMED_FUNCTIONS,
    NODES,
    TYPES,
)
from langchain_guard.tool_scope.sql_text import CHECKING, load_sqlglot, parsed, refuse

if TYPE_CHECKING:
    from sqlglot.expressions import Expression, Literal, Select

    from langchain_guard.identity import Identity

MAX_TABLES = 16
"""Most tables that a query may name; the bounds of its text are in `sql_text`."""

_KEYWORDS = re.compile(r"|[A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z_]+)*")
_BARE = re.compile(r"[^\W\d][\w$]*")
_IDENTIFIER = re.compile(r"[^\"'`\\\[\];\x00-\x1f]{1,64}")
_FENCES = {"postgres": ("offset", 0), "sqlite": ("limit", 2**63 - 1), "mysql": ("limit", 2**64 - 1)}
_MARK = "langchain_guard:"
_PLACES = re.compile(r"'(?:[^']|'')*'|(?<![\w:]):([a-z]+)\b")  # a string, or a placeholder outside of strings
_PLACEHOLDERS: dict[str, Callable[[Identity], str | None]] = {
    "user": lambda who: who.user,
    "ip": lambda who: who.ip,
    "tier": lambda who: who.tier,
}


@dataclass(frozen=True, slots=True)
class Sql(Arg):
    """`Arg.sql`: one SELECT (or UNION, INTERSECT, EXCEPT of them, with CTEs), read only.

    Args:
        dialect: ``"sqlite"``, ``"postgres"`` or ``"mysql"``: the database that runs the query.
        tables: The columns that may be read, by table, as the database spells them; ``"schema.table"`` pins a schema,
            and the query then names the table alone.
        max_rows: Most rows returned; a smaller LIMIT of the query's own stays.
        row_filter: A condition on the rows of a table that may be read, in the same dialect. It may use columns that
            the query may not, and ``:user``, ``:ip`` and ``:tier``, which stand for the caller's; or a callable that
            gets the caller's `Identity` and returns such a condition. A caller for whom a value is unknown is refused.

    Raises:
        ConfigError: The dialect is not known, a table or a filter cannot be used, or sqlglot is not installed.
    """

    dialect: str
    tables: Mapping[str, Sequence[str]]
    max_rows: int = 1000
    row_filter: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "sql"

    def __post_init__(self) -> None:
        if self.dialect not in DIALECTS:
            raise ConfigError(f"Arg.sql(dialect={self.dialect!r}) must be one of {', '.join(map(repr, DIALECTS))}")
        load_sqlglot()
        if not isinstance(self.tables, Mapping) or not self.tables:
            raise ConfigError("Arg.sql(tables=...) must map table names to lists of columns")
        tables = {table: _columns(table, columns) for table, columns in self.tables.items()}
        names = [_bare(table).lower() for table in tables]
        if len(set(names)) < len(names):
            raise ConfigError(
                "Arg.sql(tables=...): two tables have the same name, so that a query cannot tell them apart"
            )
        if not isinstance(self.max_rows, int) or isinstance(self.max_rows, bool) or self.max_rows < 1:
            raise ConfigError(f"Arg.sql(max_rows={self.max_rows!r}) must be a positive int")
        filters = {}
        for table, conditions in (self.row_filter or {}).items():
            if table not in tables:
                raise ConfigError(f"Arg.sql(row_filter=...): {table!r} is none of the tables")
            several = conditions if isinstance(conditions, tuple) else (conditions,)
            filters[table] = several
            for condition in several:
                if isinstance(condition, str):
                    _parsed_filter(condition, self.dialect)
                elif not callable(condition):
                    raise ConfigError(
                        f"Arg.sql(row_filter={{{table!r}: ...}}) must be SQL text or a callable(identity)"
                    )
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "row_filter", filters)

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not isinstance(value, str):
            refuse("must be a string")
        return Query(self, asked.who).rewritten(value)

    def merged(self, other: Arg) -> Sql | None:
        """The intersection with another SQL scope; None for another kind of Arg.

        Raises:
            ConfigError: They are for different dialects, or share no column.
        """
        if not isinstance(other, Sql):
            return None
        if self.dialect != other.dialect:
            raise ConfigError(f"a SQL scope for {self.dialect} cannot be narrowed by one for {other.dialect}")
        tables = {
            table: tuple(column for column in columns if column in other.tables[table])
            for table, columns in self.tables.items()
            if table in other.tables
        }
        tables = {table: columns for table, columns in tables.items() if columns}
        if not tables:
            raise ConfigError("the two SQL scopes have no column in common")
        filters = {
            table: (*self.row_filter.get(table, ()), *other.row_filter.get(table, ()))
            for table in tables
            if table in self.row_filter or table in other.row_filter
        }
        return Sql(self.dialect, tables, min(self.max_rows, other.max_rows), filters)

    @override
    def sentence(self) -> str:
        listed = ", ".join(f"{_bare(table)}({', '.join(columns)})" for table, columns in self.tables.items())
        return f"One SELECT in {self.dialect} SQL over {listed}; at most {self.max_rows} rows."

    @override
    def data(self) -> dict[str, Any]:
        if any(callable(condition) for several in self.row_filter.values() for condition in several):
            raise callable_data("Arg.sql(row_filter=...)")
        out: dict[str, Any] = {
            "dialect": self.dialect,
            "tables": {table: list(columns) for table, columns in self.tables.items()},
            "max_rows": self.max_rows,
        }
        if self.row_filter:
            out["row_filter"] = {
                table: several[0] if len(several) == 1 else " AND ".join(f"({condition})" for condition in several)
                for table, several in self.row_filter.items()
            }
        return {"sql": out}


def _columns(table: Any, columns: Any) -> tuple[str, ...]:
    if not isinstance(table, str) or not all(map(_IDENTIFIER.fullmatch, table.split("."))) or table.count(".") > 1:
        raise ConfigError(f"Arg.sql(tables=...): {table!r} must be a table's name, or 'schema.table'")
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise ConfigError(f"Arg.sql(tables={{{table!r}: ...}}) must be a list of columns")
    listed = tuple(columns)
    if not listed or not all(isinstance(column, str) and _IDENTIFIER.fullmatch(column) for column in listed):
        raise ConfigError(f"Arg.sql(tables={{{table!r}: {list(listed)!r}}}) must be names of columns, at least one")
    return listed


def _bare(table: str) -> str:
    return table.rpartition(".")[2]


@functools.lru_cache(maxsize=256)
def _parsed_filter(condition: str, dialect: str) -> Expression:
    """A row filter as a tree, to be copied.

    Raises:
        ConfigError: It does not parse, or uses a placeholder that nobody fills.
    """
    sqlglot = load_sqlglot()
    # dialects spell placeholders differently, so they go in as strings that no filter holds
    text = _PLACES.sub(lambda found: found[0] if found[1] is None else f"'{_MARK}{found[1]}'", condition)
    try:
        tree = sqlglot.parse_one(text, into=sqlglot.exp.Condition, read=dialect)
    except (sqlglot.errors.SqlglotError, RecursionError):
        raise ConfigError("Arg.sql(row_filter=...): a condition does not parse") from None
    for literal in tree.find_all(sqlglot.exp.Literal):
        name = _placeholder(literal)
        if name is not None and name not in _PLACEHOLDERS:
            raise ConfigError(f"Arg.sql(row_filter=...): :{name} is none of :{', :'.join(_PLACEHOLDERS)}")
    made: Expression = tree
    return made


def _placeholder(literal: Literal) -> str | None:
    return str(literal.this)[len(_MARK) :] if literal.is_string and str(literal.this).startswith(_MARK) else None


class Query:
    """One query on its way through the check."""

    def __init__(self, scope: Sql, who: Identity) -> None:
        self.sqlglot = load_sqlglot()
        self.scope, self.who = scope, who
        self.functions = FUNCTIONS | FUNCTIONS_OF[scope.dialect]

    def rewritten(self, text: str) -> str:
        """The SQL to run.

        Raises:
            Violation: The query is out of scope.
        """
        checking = CHECKING.set(True)
        try:
            tree = parsed(text, self.scope.dialect)
            self._allowed(tree)
            while isinstance(tree, self.sqlglot.exp.Subquery):
                tree = tree.this
            Names(self.sqlglot.exp, self.scope.dialect, self.scope.tables, self._view).resolve(tree)
            self._limit(tree)
            return self._written(tree)
        except RecursionError:
            refuse("is nested too deeply")
        except self.sqlglot.errors.SqlglotError:
            refuse("cannot be written in this dialect")
        except Violation:
            raise
        except Exception:  # noqa: BLE001  # sqlglot's trees can lack parts that a query has to have
            refuse("is not understood")
        finally:
            CHECKING.reset(checking)

    def _written(self, tree: Expression) -> str:
        """The text of the tree, which has to mean the tree when it is read again: the generator could have a flaw."""
        raised, dialect = self.sqlglot.errors.ErrorLevel.RAISE, self.scope.dialect
        text = str(tree.sql(dialect=dialect, comments=False, unsupported_level=raised))
        if self._reads(self.sqlglot.parse_one(text, dialect=dialect)) != self._reads(tree):
            refuse("cannot be written in this dialect")
        return text

    def _reads(self, tree: Expression) -> Counter[tuple[str, str]]:
        """Which tables, queries and functions without a class a tree has, and how often."""
        exp = self.sqlglot.exp
        found = tree.find_all(exp.Table, exp.Query, exp.Anonymous)
        return Counter((type(node).__name__, node.name.lower()) for node in found)

    def _allowed(self, tree: Expression) -> None:
        """Every node is on a list, and so is everything it holds."""
        exp = self.sqlglot.exp
        tables = 0
        for node in tree.walk():
            name = type(node).__name__
            if not isinstance(node, (exp.Identifier, exp.Literal, exp.Anonymous)):
                _only_keywords(node)
            keys = NODES.get(name)
            if keys is not None:
                for key, value in node.args.items():
                    plain = key.rstrip("_")
                    if plain not in keys and plain not in IGNORED and value not in (None, False, [], ""):
                        refuse(f"uses {plain.replace('_', ' ')}, which is not allowed")
            elif isinstance(node, exp.Anonymous):
                self._named_function(node)
            elif name not in self.functions:
                refuse("uses a function that is not allowed" if isinstance(node, exp.Func) else "is not a plain SELECT")
            if isinstance(node, exp.Select):
                if not node.expressions:
                    refuse("selects nothing")
            elif isinstance(node, exp.Identifier):
                if not (_IDENTIFIER if node.args.get("quoted") else _BARE).fullmatch(node.name):
                    refuse("has an unusual name in it")
            elif isinstance(node, exp.Literal):
                self._literal(node)
            elif isinstance(node, exp.DataType):
                if getattr(node.this, "name", "") not in TYPES:
                    refuse("casts to a type that is not allowed")
            elif isinstance(node, exp.DataTypeParam):
                if not (node.this.is_int and len(node.name) <= 5):  # char(10485760) pads every value to that size
                    refuse("casts to a type of an unusual size")
            elif isinstance(node, exp.Table):
                tables += 1
        if tables > MAX_TABLES:
            refuse("reads too many tables")

    def _named_function(self, node: Any) -> None:
        name = node.this
        if not isinstance(name, str) or name.lower() not in NAMED_FUNCTIONS[self.scope.dialect]:
            refuse("uses a function that is not allowed")

    def _literal(self, node: Literal) -> None:
        """A text that every setting of the server reads alike: a backslash may or may not escape what follows."""
        text = str(node.this)
        if not node.is_string:
            if not re.fullmatch(r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,3})?|[0-9]+\.", text):
                refuse("has a number of an unusual form")
        elif self.scope.dialect == "postgres" and re.search(r"\\(?:'|$)", text):
            refuse("has a backslash before a quote")

    def _limit(self, tree: Expression) -> None:
        """At most `max_rows` rows; every LIMIT and OFFSET is a number."""
        exp = self.sqlglot.exp
        for node in tree.find_all(exp.Limit, exp.Offset, exp.Fetch):
            self._count(node)
        asked = tree.args.get("limit")
        rows = self._count(asked) if asked is not None else None
        rows = self.scope.max_rows if rows is None else min(rows, self.scope.max_rows)
        tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))

    def _count(self, node: Any) -> int | None:
        """The number in a LIMIT, OFFSET or FETCH; None where it says that there is no limit."""
        exp = self.sqlglot.exp
        count = node.args.get("count") if isinstance(node, exp.Fetch) else node.expression
        unlimited = isinstance(node, exp.Limit) and isinstance(count, exp.Var) and count.name.upper() == "ALL"
        if unlimited and self.scope.dialect == "postgres":
            return None
        if not isinstance(count, exp.Literal) or count.is_string or not str(count.this).isdigit():
            refuse("has a LIMIT that is not a number")
        return int(count.this)

    def _view(self, table: str) -> Select:
        """What stands in for a table: the allowed columns of the allowed rows."""
        exp = self.sqlglot.exp
        schema, _, name = table.rpartition(".")

        def quoted(text: str) -> Any:
            return exp.to_identifier(text, quoted=True)

        source = exp.Table(this=quoted(name), db=quoted(schema) if schema else None)
        columns = [exp.Column(this=quoted(column), table=quoted(name)) for column in self.scope.tables[table]]
        view: Select = exp.select(*columns, copy=False).from_(source, copy=False)
        conditions = self.scope.row_filter.get(table, ())
        for condition in conditions:
            view = view.where(self._condition(condition), copy=False)
        if conditions:
            # A planner may move a condition of the query's own in front of ours, where an error that it raises tells
            # something about other rows; it may not move one past a LIMIT or OFFSET.
            key, number = _FENCES[self.scope.dialect]
            node = exp.Limit if key == "limit" else exp.Offset
            view.set(key, node(expression=exp.Literal.number(number)))
        return view

    def _condition(self, condition: Any) -> Expression:
        if callable(condition):
            try:
                condition = condition(self.who)
            except Exception as error:  # noqa: BLE001  # a user's callable may raise anything
                raise Violation("unavailable", f"could not be checked ({type(error).__name__})") from None
            if not isinstance(condition, str):
                refuse("needs a known caller")
        tree = _parsed_filter(condition, self.scope.dialect).copy()
        exp = self.sqlglot.exp
        for literal in list(tree.find_all(exp.Literal)):
            name = _placeholder(literal)
            if name is not None:
                value = _PLACEHOLDERS[name](self.who)
                if not value or "\\" in value:
                    refuse("needs a known caller")
                literal.set("this", value)
        made: Expression = exp.Paren(this=tree)
        return made


def _only_keywords(node: Any) -> None:
    """Refuse text that would be written as it stands: sqlglot makes units of dates out of strings and quoted names."""
    for value in node.args.values():
        if isinstance(value, str) and not _KEYWORDS.fullmatch(value):
            refuse("has an unusual keyword in it")
