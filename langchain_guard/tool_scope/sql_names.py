"""Which column each name of a query means, and what stands in for each table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from langchain_guard.tool_scope.sql_text import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlglot import exp


Outputs = tuple[str | None, ...]
"""The names of a query's result columns; None for one without a name."""


class Shared(NamedTuple):
    """A common table expression: the names of its results, and its own name as it is spelled there."""

    outputs: Outputs
    name: Any


class Frame(NamedTuple):
    """One SELECT: what its FROM clause offers, the names it gives its results, and the query around it."""

    sources: dict[str, Outputs]
    aliases: frozenset[str]
    outer: Frame | None


class Names:
    """Resolves the names of a query as the database would, within the scope; replaces tables and stars on the way.

    Args:
        exp: The module ``sqlglot.exp``.
        dialect: The dialect of the query.
        tables: The columns in scope, by table.
        view: Makes the subquery that stands in for a table.
    """

    def __init__(
        self, exp: Any, dialect: str, tables: Mapping[str, Sequence[str]], view: Callable[[str], exp.Select]
    ) -> None:
        self.exp, self.view = exp, view
        self.seen: set[int] = set()
        self.folds = dialect != "postgres"
        self.tables = {self._key(table.rpartition(".")[2]): table for table in tables}
        self.columns = {table: tuple(map(self._key, columns)) for table, columns in tables.items()}
        self.spelled = {table: tuple(columns) for table, columns in tables.items()}

    def resolve(self, query: exp.Expression) -> None:
        """Resolve every name of a query.

        Raises:
            Violation: A name is out of scope.
        """
        names = list(query.find_all(self.exp.Table, self.exp.Column))
        self._query(query, {}, None)
        if any(id(node) not in self.seen for node in names):  # a place that this class does not know
            refuse("has a name in an unusual place")

    def _key(self, name: str) -> str:
        return name.lower() if self.folds else name

    def _name(self, identifier: Any) -> str:
        """The name that an identifier stands for: PostgreSQL folds it unless it is quoted, the others never tell."""
        name = str(identifier.name)
        return name.lower() if self.folds or not identifier.args.get("quoted") else name

    def _query(self, query: Any, ctes: Mapping[str, Shared], outer: Frame | None) -> Outputs:
        if isinstance(query, self.exp.Subquery):
            return self._query(query.this, ctes, outer)
        known = dict(ctes)
        for cte in self._with(query):
            name = self._name(cte.args["alias"].this)
            if name in self.tables or name in known:
                refuse("gives a name twice")
            outputs = self._renamed(self._query(cte.this, known, outer), cte.args["alias"])
            known[name] = Shared(outputs, cte.args["alias"].this)
        if isinstance(query, self.exp.SetOperation):
            outputs = self._query(query.this, known, outer)
            self._query(query.expression, known, outer)
            frame = Frame({}, frozenset(name for name in outputs if name), outer)
            self._expressions([query.args.get("order")], known, frame)
            return outputs
        return self._select(query, known, outer)

    @staticmethod
    def _with(query: Any) -> list[Any]:
        clause = query.args.get("with_") or query.args.get("with")
        return list(clause.expressions) if clause is not None else []

    def _renamed(self, outputs: Outputs, alias: Any) -> Outputs:
        """Outputs under the names of a column list, as in ``AS t(a, b)``."""
        names = tuple(self._name(column) for column in alias.args.get("columns") or ())
        if len(names) > len(outputs):
            refuse("names more columns than there are")
        return (*names, *outputs[len(names) :])

    def _select(self, select: Any, ctes: Mapping[str, Shared], outer: Frame | None) -> Outputs:
        frame = Frame({}, self._aliases(select), outer)
        clause = select.args.get("from_") or select.args.get("from")
        joins = select.args.get("joins") or []
        merged: list[tuple[str, str]] = []
        for part in [clause, *joins] if clause is not None else joins:
            alias = self._source(part.this, ctes, frame)
            for column in part.args.get("using") or ():
                name = self._name(column)
                others = [names for other, names in frame.sources.items() if other != alias]
                if name not in frame.sources[alias] or not any(name in names for names in others):
                    _refuse_column()
                merged.append((alias, name))
            self._expressions([part.args.get("on")], ctes, frame)
        # a result's alias is no name inside of the result list
        self._expressions(select.expressions, ctes, Frame(frame.sources, frozenset(), outer), top=True)
        rest = [
            value
            for key, value in select.args.items()
            if key.rstrip("_") not in ("expressions", "from", "joins", "with")
        ]
        self._expressions(rest, ctes, frame)
        return self._outputs(select, frame, merged)

    def _aliases(self, select: Any) -> frozenset[str]:
        listed = [item.args["alias"] for item in select.expressions if isinstance(item, self.exp.Alias)]
        return frozenset(self._name(alias) for alias in listed)

    def _source(self, source: Any, ctes: Mapping[str, Shared], frame: Frame) -> str:
        """Enter one item of FROM into the frame; a table is replaced by its view."""
        exp = self.exp
        alias = source.args.get("alias")
        if isinstance(source, exp.Subquery):
            if alias is None or alias.this is None:
                if not self.folds:
                    refuse("has a subquery without a name")
                name = f"\0{len(frame.sources)}"  # SQLite needs no name; nothing can refer to it
            else:
                name = self._name(alias.this)
            outputs = self._query(source.this, ctes, frame.outer)
        elif isinstance(source, exp.Lateral) and isinstance(source.this, exp.Subquery):
            if alias is None or alias.this is None:
                refuse("has a subquery without a name")
            name = self._name(alias.this)
            outputs = self._query(source.this, ctes, frame)  # it sees the items of FROM before it
        elif isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
            self.seen.add(id(source))
            called = self._name(source.this)
            name = self._name(alias.this) if alias is not None else called
            outputs = self._table(source, called, ctes)
        else:
            refuse("reads from something that is no table")
        if name in frame.sources:
            refuse("gives a name twice")
        frame.sources[name] = self._renamed(outputs, alias) if alias is not None else outputs
        return name

    def _table(self, source: Any, called: str, ctes: Mapping[str, Shared]) -> Outputs:
        alias = source.args.get("alias") or self.exp.TableAlias(this=source.this.copy())
        shared = ctes.get(called)
        if shared is not None:
            if source.this != shared.name:  # a database that does not fold names as we do would read a table instead
                source.set("this", shared.name.copy())
                source.set("alias", alias)
            return shared.outputs
        table = self.tables.get(called)
        if table is None:
            refuse("reads a table that is not allowed")
        source.replace(self.exp.Subquery(this=self.view(table), alias=alias))
        return self.columns[table]

    def _expressions(
        self, nodes: Iterable[Any], ctes: Mapping[str, Shared], frame: Frame, *, top: bool = False
    ) -> None:
        """Resolve the columns in some expressions; subqueries in them see the frame from inside."""
        exp = self.exp
        for node in nodes:
            if isinstance(node, list):
                self._expressions(node, ctes, frame)
            elif isinstance(node, (exp.Select, exp.SetOperation, exp.Subquery)):
                self._query(node, ctes, frame)
            elif isinstance(node, exp.Column):
                self.seen.add(id(node))
                if not isinstance(node.this, exp.Star):
                    self._column(node, frame)
                elif not top:
                    refuse("has a * in an unusual place")
                elif self._name(node.args["table"]) not in frame.sources:
                    _refuse_column()
            elif isinstance(node, exp.Star) and not top:
                if not isinstance(node.parent, exp.Count):
                    refuse("has a * in an unusual place")
            elif isinstance(node, exp.Expression):
                self._expressions(list(node.iter_expressions()), ctes, frame)

    def _column(self, column: Any, frame: Frame) -> None:
        name, table = self._name(column.this), column.args.get("table")
        here: Frame | None = frame
        if table is None and name in frame.aliases:
            return
        while here is not None:
            if table is None:
                if any(name in names for names in here.sources.values()):
                    return
            elif (source := self._name(table)) in here.sources:
                if name in here.sources[source]:
                    return
                break
            here = here.outer
        _refuse_column()

    def _outputs(self, select: Any, frame: Frame, merged: list[tuple[str, str]]) -> Outputs:
        """The names of the results, with stars written out."""
        exp = self.exp
        items: list[Any] = []
        outputs: list[str | None] = []
        for item in select.expressions:
            of = item.args.get("table") if isinstance(item, exp.Column) and isinstance(item.this, exp.Star) else None
            if of is None and not isinstance(item, exp.Star):
                items.append(item)
                named = (
                    item.args["alias"]
                    if isinstance(item, exp.Alias)
                    else item.this
                    if isinstance(item, exp.Column)
                    else None
                )
                outputs.append(self._name(named) if named is not None else None)
                continue
            alias_of = {self._name(node): node for node in self._source_names(select)}
            wanted = [self._name(of)] if of is not None else list(frame.sources)
            found = [
                (alias, name)
                for alias in wanted
                for name in frame.sources[alias]
                if of is not None or (alias, name) not in merged
            ]
            outputs += [name for _, name in found]
            if any(name is None or alias not in alias_of for alias, name in found):
                items.append(item)  # it expands to the views' columns by itself
            else:
                items += [
                    exp.Column(this=self._spelled(alias, name), table=alias_of[alias].copy()) for alias, name in found
                ]
        select.set("expressions", items)
        return tuple(outputs)

    def _source_names(self, select: Any) -> list[Any]:
        """The identifiers under which the items of FROM are known."""
        clause = select.args.get("from_") or select.args.get("from")
        parts = [clause, *(select.args.get("joins") or [])] if clause is not None else []
        named = []
        for part in parts:
            alias = part.this.args.get("alias")
            identifier = alias.this if alias is not None else part.this.this
            if isinstance(identifier, self.exp.Identifier):
                named.append(identifier)
        return named

    def _spelled(self, _: str, name: str | None) -> Any:
        for table, keys in self.columns.items():
            if name in keys:
                return self.exp.to_identifier(self.spelled[table][keys.index(name)], quoted=True)
        return self.exp.to_identifier(name, quoted=True)


def _refuse_column() -> NoReturn:
    refuse("reads a column that is not allowed")
