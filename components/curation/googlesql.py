"""GoogleSQL that means the same on BigQuery and on DuckDB: parsed, held to a tested list of constructs, translated.

sqlglot translates more than it translates rightly (`DIV` loses its parentheses, `LOWER` knows other Unicode rules than
BigQuery's, `COUNTIF` of no rows is null), so only what `tests/components/curation/test_googlesql.py` has seen
to give the documented results may be used: by this package's statements and by users' own.
"""

from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..runtime import InputError

_LONGEST = 100_000
_CLAUSES = (
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Ordered, exp.Limit,
    exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Distinct, exp.Table, exp.TableAlias, exp.Alias, exp.Identifier,
    exp.Column, exp.Star, exp.Paren, exp.Unnest, exp.Parameter, exp.Var, exp.Tuple, exp.Literal, exp.RawString,
    exp.Boolean, exp.Null,
)  # fmt: skip
_OPERATORS = (
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.In, exp.Between, exp.Like,
    exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Cast, exp.DataType, exp.Coalesce, exp.Nullif,
    exp.SafeDivide,
)  # fmt: skip
_FUNCTIONS = (
    exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.RowNumber, exp.Window, exp.WindowSpec, exp.Concat,
    exp.Length, exp.Trim, exp.Replace, exp.StartsWith, exp.Abs, exp.Floor, exp.Ceil, exp.ArraySize, exp.MD5Digest,
    exp.LowerHex, exp.MD5, exp.Hex, exp.RegexpLike,
)  # fmt: skip
_ALLOWED = frozenset(_CLAUSES + _OPERATORS + _FUNCTIONS)
_TYPES = {exp.DataType.Type.BIGINT, exp.DataType.Type.DOUBLE, exp.DataType.Type.TEXT, exp.DataType.Type.BOOLEAN}
_JOINS = {"", "INNER", "LEFT", "CROSS", "LEFT OUTER"}


def parse(sql: str, tables: frozenset[str], name: str) -> exp.Expression:
    """Parses one SELECT and checks that it uses nothing else than what is known to mean the same everywhere.

    Args:
        sql: The statement, in GoogleSQL.
        tables: Names of the tables that it may read, beside its own WITH clauses.
        name: What the statement is called in messages.

    Raises:
        InputError: If it is no single SELECT, or reads, calls or uses anything that is not on the list.
    """
    if len(sql) > _LONGEST:
        raise InputError(f"{name} has {len(sql):,} characters; expected at most {_LONGEST:,}. Shorten it.")
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="bigquery") if statement is not None]
    except (SqlglotError, RecursionError) as error:
        first = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{name} is not valid GoogleSQL: {first}. Correct the statement.") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select | exp.Union):
        kinds = ", ".join(statement.key.upper() for statement in statements) or "nothing"
        raise InputError(f"{name} holds {kinds}; expected one SELECT. Statements that change tables are not run here.")
    _check(statements[0], tables, name)
    return statements[0]


def _check(statement: exp.Expression, tables: frozenset[str], name: str) -> None:
    own = {cte.alias_or_name for cte in statement.find_all(exp.CTE)}
    for node in statement.walk():
        if isinstance(node, exp.Table):
            _check_table(node, tables | own, name)
        elif problem := _problem(node):
            raise InputError(
                f"{name} uses {problem}, which is not known to mean the same on DuckDB and on BigQuery. Use the "
                "constructs that docs/curation.md lists."
            )


def _check_table(node: exp.Table, tables: frozenset[str], name: str) -> None:
    if node.name not in tables or node.db or not isinstance(node.this, exp.Identifier):
        there = ", ".join(sorted(tables))
        raise InputError(f"{name} reads {node.sql(dialect='bigquery')}; it may read {there}. Name one of these.")


def _problem(node: exp.Expr) -> str:
    """What is not allowed about one node, else nothing."""
    if type(node) not in _ALLOWED:
        return repr(node.sql(dialect="bigquery")[:80])
    if isinstance(node, exp.Join) and f"{node.side} {node.kind}".strip() not in _JOINS:
        return f"{node.side} {node.kind} JOIN".strip()
    if isinstance(node, exp.DataType) and node.this not in _TYPES:
        return f"the type {node.sql(dialect='bigquery')}"
    if isinstance(node, exp.Unnest) and node.args.get("offset"):
        return "WITH OFFSET"
    if isinstance(node, exp.Cast) and (type(node) is not exp.Cast or node.args.get("format")):
        return "CAST with a format"
    return ""


@lru_cache(maxsize=256)
def to_duckdb(sql: str, tables: frozenset[str], name: str) -> tuple[str, frozenset[str]]:
    """A statement for DuckDB, and the names of the parameters that it uses (`@limit` becomes `$limit`)."""
    statement = parse(sql, tables, name)
    return statement.sql(dialect="duckdb"), parameter_names(statement)


def parameter_names(statement: exp.Expression) -> frozenset[str]:
    """The names of the parameters of a statement: `@limit` is "limit"."""
    return frozenset(parameter.name for parameter in statement.find_all(exp.Parameter))
