"""From the text of a query to a syntax tree: the text has to mean one thing to every reader, and is of bounded size."""

from __future__ import annotations

import logging
import re
import unicodedata
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from typing_extensions import override

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.arg import Violation

if TYPE_CHECKING:
    from sqlglot.expressions import Expression

MAX_CHARS = 10_000
MAX_TOKENS = 4_000
MAX_DEPTH = 40
"""Bounds of a query: code points, tokens, nested parentheses. They bound the time that the check takes."""

_BLANKS = frozenset(" \t\n\r")
_NO_BLANKS = dict.fromkeys(map(ord, _BLANKS))
_ODD = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})


def refuse(reason: str) -> NoReturn:
    """Refuse a query, in words that may go to the model."""
    raise Violation("sql", reason)


def load_sqlglot() -> Any:
    """The module.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import sqlglot  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise ConfigError('Arg.sql needs sqlglot: pip install "langchain-guard[sql]"') from None
    logging.getLogger("sqlglot").addFilter(_WITHOUT_QUERIES)  # adding it twice changes nothing
    return sqlglot


CHECKING: ContextVar[bool] = ContextVar("langchain_guard_checking_sql", default=False)
"""Set while a query is checked, so that sqlglot logs nothing."""


class _WithoutQueries(logging.Filter):
    """Drops what sqlglot logs while a query is checked: the text of statements that it does not know."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not CHECKING.get()


_WITHOUT_QUERIES = _WithoutQueries()


def parsed(text: str, dialect: str) -> Expression:
    """The only statement of the text, which is a query.

    Raises:
        Violation: It is none, or its text could mean different things to different readers.
    """
    sqlglot = load_sqlglot()
    errors, exp = sqlglot.errors, sqlglot.exp
    if len(text) > MAX_CHARS:
        refuse("is too long")
    printable = text.isascii() and text.translate(_NO_BLANKS).isprintable()
    if not printable and any(char not in _BLANKS and unicodedata.category(char) in _ODD for char in text):
        refuse("holds a control character or an unusual space")
    reader = sqlglot.Dialect.get_or_raise(dialect)
    try:
        tokens = reader.tokenize(text)
        _bounded(tokens, sqlglot.TokenType)
        if dialect == "mysql":
            _plain_mysql(text, tokens)
        _one_query(tokens, sqlglot.TokenType)
        trees = reader.parser(error_level=errors.ErrorLevel.RAISE).parse(tokens, text)
    except Violation:
        raise
    except Exception:  # noqa: BLE001  # a parser that fails in a way of its own has not understood the text either
        refuse("does not parse")
    trees = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(trees) != 1:
        refuse("must be one statement")
    if not isinstance(trees[0], (exp.Select, exp.SetOperation, exp.Subquery)):
        refuse("must be a SELECT")
    made: Expression = trees[0]
    return made


def _bounded(tokens: list[Any], kinds: Any) -> None:
    """Refuse what would keep the parser busy, and comments that a server may run."""
    if len(tokens) > MAX_TOKENS:
        refuse("is too long")
    depth = 0
    for token in tokens:
        if token.token_type == kinds.L_PAREN:
            depth += 1
            if depth > MAX_DEPTH:
                refuse("is nested too deeply")
        elif token.token_type == kinds.R_PAREN:
            depth -= 1
        # MySQL and MariaDB run /*! ... */ and /*M! ... */, and take orders from /*+ ... */
        if any(comment.lstrip().startswith(("!", "M!", "+")) for comment in token.comments):
            refuse("has a comment that a server may run")


def _plain_mysql(text: str, tokens: list[Any]) -> None:
    """Refuse what MySQL reads in another way than its settings, or other parsers, make it seem."""
    end = 0
    for token in tokens:
        # whether a backslash escapes what follows is a setting of the server
        if "\\" in text[token.start : token.end + 1]:
            refuse("has a backslash in it")
        # two dashes begin a comment only if a blank follows: https://dev.mysql.com/doc/refman/8.4/en/ansi-diff-comments.html
        if re.search(r"--\S", text[end : token.start]):
            refuse("has a comment of an unusual form")
        end = token.end + 1
    if re.search(r"--\S", text[end:]):
        refuse("has a comment of an unusual form")


def _one_query(tokens: list[Any], kinds: Any) -> None:
    """Refuse a second statement, and one that cannot be a query."""
    kept = [token.token_type for token in tokens]
    while kept and kept[-1] == kinds.SEMICOLON:
        kept.pop()
    if kinds.SEMICOLON in kept:
        refuse("must be one statement")
    if not kept or kept[0] not in (kinds.SELECT, kinds.WITH, kinds.L_PAREN):
        refuse("must be a SELECT")
