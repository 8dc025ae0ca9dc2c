"""What may stand in a read-only query: classes of sqlglot's syntax tree, functions and types, by name.

Allow-lists, so that a statement, a clause or a function that sqlglot learns to parse tomorrow is refused until someone
has looked at it. Names rather than classes, because they differ between sqlglot's releases.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DIALECTS = ("sqlite", "postgres", "mysql")

NODES: dict[str, frozenset[str]] = {
    name: frozenset(keys.split())
    for name, keys in {
        # the query; what is missing here is refused: into, locks, hints, pivot, sample, recursive
        "Select": "expressions from joins where group having order limit offset with distinct windows",
        "Union": "this expression distinct order limit offset with",
        "Except": "this expression distinct order limit offset with",
        "Intersect": "this expression distinct order limit offset with",
        "Subquery": "this alias",
        "With": "expressions",
        "CTE": "this alias materialized",
        "Table": "this alias",
        "TableAlias": "this columns",
        "Lateral": "this alias",
        "From": "this",
        "Join": "this kind side on using",
        "Where": "this",
        "Group": "expressions rollup cube grouping_sets",
        "Rollup": "expressions",
        "Cube": "expressions",
        "GroupingSets": "expressions",
        "Having": "this",
        "Order": "this expressions",
        "Ordered": "this desc nulls_first",
        "Limit": "expression",
        "Offset": "expression",
        "Fetch": "direction count limit_options",
        "LimitOptions": "rows",
        "Distinct": "expressions on",
        "Window": "this partition_by order spec alias over",
        "WindowSpec": "kind start start_side end end_side",
        "WithinGroup": "this expression",
        "Filter": "this expression",
        # names and values
        "Identifier": "this quoted",
        "Column": "this table",
        "Star": "",
        "Alias": "this alias",
        "Literal": "this is_string",
        "Null": "",
        "Boolean": "this",
        "Var": "this",
        "Interval": "this unit",
        "Cast": "this to",
        "DataType": "this expressions",
        "DataTypeParam": "this expression",
        "Tuple": "expressions",
        "Collate": "this expression",
        "Paren": "this",
        # operators
        "Case": "this ifs default",
        "If": "this true false",
        "In": "this expressions query negate",
        "Between": "this low high negate",
        "Exists": "this",
        "Any": "this",
        "All": "this",
        "AtTimeZone": "this zone",
        "Extract": "this expression",
        "Not": "this",
        "Neg": "this",
        "BitwiseNot": "this",
        **dict.fromkeys(
            (
                *("And", "Or", "Xor", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "Like", "ILike", "Escape", "DPipe"),
                *("Add", "Sub", "Mul", "Div", "Mod", "IntDiv", "SimilarTo", "NullSafeEQ", "NullSafeNEQ"),
                *("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseLeftShift", "BitwiseRightShift"),
            ),
            "this expression negate",
        ),
        # what sqlglot wraps dates in, without writing anything
        "TsOrDsToDate": "this",
        "TsOrDsToTimestamp": "this",
        "TsOrDsToDatetime": "this",
    }.items()
}
"""Classes of nodes, each with the arguments that it may have. Annotations of the parser are in `IGNORED`."""

IGNORED = frozenset({"big_int", "safe", "typed", "coalesce", "nested", "overwrite", "join_mark", "is_numeric"})
"""Arguments that hold no part of the query, but facts about it for sqlglot's own generators."""

FUNCTIONS = _words("""
    Count Sum Avg Min Max Median Stddev StddevPop StddevSamp Variance VariancePop Corr CovarPop CovarSamp CountIf
    GroupConcat ArrayAgg LogicalAnd LogicalOr PercentileCont PercentileDisc Grouping AnyValue Mode WidthBucket
    RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue LastValue NthValue
    Coalesce Nullif Greatest Least
    Abs Ceil Floor Round Sqrt Cbrt Pow Ln Log Exp Sign Trunc Rand Pi
    Upper Lower Initcap Length Trim Substring Left Right Replace Concat ConcatWs StrPosition SplitPart SubstringIndex Reverse Ascii
    CurrentDate CurrentTime CurrentTimestamp CurrentDatetime
    Date Time Timestamp Datetime DateTrunc TimestampTrunc DateAdd DateSub DateDiff DatetimeAdd DatetimeSub DatetimeDiff
    TimestampAdd TimestampSub TimestampDiff TimeToStr StrToTime StrToDate TimeToUnix UnixToTime TsOrDsAdd TsOrDsDiff
    TimeStrToTime DateStrToDate ToChar ToNumber LastDay
    Year Quarter Month Week Day DayOfMonth DayOfWeek DayOfYear WeekOfYear Hour Minute Second Dayname Monthname
    """)
"""Functions that sqlglot knows by class: ordinary aggregate, window, scalar and date functions, which only compute.

Left out on purpose: what builds values of any size (lpad, repeat, generate_series, printf), JSON and XML (which take
whole rows), everything about files, sessions, locks and sequences.
"""

FUNCTIONS_OF: dict[str, frozenset[str]] = {
    "sqlite": _words("Glob Typeof Unicode Hex"),
    "postgres": _words("""
        RegexpLike RegexpILike RegexpReplace Localtime Localtimestamp Translate Overlay StartsWith Array MD5
        RegrSlope RegrIntercept RegrR2
        """),
    "mysql": _words("RegexpLike UtcDate UtcTime UtcTimestamp MD5 NumberToStr"),
}
"""Operators and functions of one dialect; SQLite has no REGEXP of its own."""

NAMED_FUNCTIONS: dict[str, frozenset[str]] = {
    "sqlite": _words("""
        date time datetime julianday unixepoch strftime timediff total instr ifnull iif typeof substr ltrim rtrim trim
        round abs upper lower length sign
        """),
    "postgres": _words("""
        now date_part age to_char to_date to_timestamp to_number btrim ltrim rtrim strpos char_length date_bin
        clock_timestamp statement_timestamp make_date justify_days justify_hours justify_interval bool_and bool_or every
        regr_slope regr_intercept regr_r2 mode width_bucket isfinite
        """),
    "mysql": _words("""
        now curdate curtime date_format str_to_date datediff timediff timestampdiff timestampadd adddate subdate
        dayname monthname last_day ifnull isnull locate instr truncate char_length character_length ltrim rtrim
        weekday yearweek to_days from_days period_diff microsecond mid unix_timestamp from_unixtime time_to_sec sec_to_time makedate field elt
        """),
}
"""Functions that sqlglot passes through by name, in lower case."""

TYPES = _words("""
    BOOLEAN TINYINT SMALLINT MEDIUMINT INT BIGINT UTINYINT USMALLINT UMEDIUMINT UINT UBIGINT DECIMAL UDECIMAL FLOAT DOUBLE
    CHAR NCHAR VARCHAR NVARCHAR TEXT DATE TIME TIMETZ TIMESTAMP TIMESTAMPTZ TIMESTAMPLTZ DATETIME INTERVAL YEAR UUID
    """)
"""Types that a value may be cast to; no type that names an object of the database, such as regclass."""

SQLITE_FUNCTIONS = _words("""
    abs avg ceil ceiling char_length coalesce concat concat_ws count current_date current_time current_timestamp date
    datetime dense_rank exp first_value floor glob group_concat hex ifnull iif instr julianday lag last_value lead length like
    ln log lower ltrim max min mod nth_value ntile nullif percent_rank cume_dist pow power random rank replace round row_number
    rtrim sign sqrt strftime string_agg substr substring sum time timediff total trim trunc typeof unicode unixepoch upper
    """)
"""The functions that `readonly_sqlite` lets a connection call: SQLite's own, of the kinds above."""
