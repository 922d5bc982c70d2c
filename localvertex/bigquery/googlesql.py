"""A query as the emulator has to be given it, to mean what it means to BigQuery."""

import re
from collections.abc import Sequence
from typing import Any

import sqlglot
from bqemulator.domain.errors import DomainError, InvalidQueryError, UnsupportedFeatureError
from bqemulator.jobs.executor import classify_statement_type
from bqemulator.scripting.ast import SqlStmt
from bqemulator.scripting.parser import parse_script
from sqlglot import exp
from sqlglot.tokens import TokenType

_TYPE = re.compile(r"\w+")
_PREFIX = "seatrial_"


def prepare(
    sql: str, parameters: Sequence[dict[str, Any]], project: str, dataset: str | None
) -> tuple[str, list[dict[str, Any]]]:
    """Writes a query for the emulator.

    It takes `@name` for a parameter within a text, too, and knows no parameters in scripts; it writes queries with a
    default dataset anew, and not always right.

    Args:
        sql: The query.
        parameters: Its parameters, as in the REST API.
        project: The project of the default dataset.
        dataset: The default dataset, if there is one.

    Returns:
        The query and the parameters to run.

    Raises:
        DomainError: If a parameter is missing, or of a type that scripts cannot have.
    """
    if dataset:
        sql = _qualified(sql, f"`{project}`.`{dataset}`.")
    by_name = {parameter["name"].lower(): parameter for parameter in parameters if parameter.get("name")}
    if is_script(sql):
        if len(by_name) < len(parameters):
            raise UnsupportedFeatureError("Positional parameters of scripts are not emulated; name them.")
        return _replaced(sql, {name: _literal(parameter) for name, parameter in by_name.items()}), []
    if len(by_name) < len(parameters):
        return sql, list(parameters)
    renamed = [{**parameter, "name": _PREFIX + name} for name, parameter in by_name.items()]
    return _replaced(sql, {name: f"@{_PREFIX}{name}" for name in by_name}), renamed


def is_script(sql: str) -> bool:
    """Whether a query is more than one statement."""
    try:
        statements = parse_script(sql).statements
    except DomainError:
        return False
    return len(statements) != 1 or not isinstance(statements[0], SqlStmt)


def statement_type(sql: str) -> str:
    """What a query is: "SELECT", "CREATE_TABLE_AS_SELECT", "SCRIPT" and so on; "" if nobody knows."""
    if is_script(sql):
        return "SCRIPT"
    return classify_statement_type(sql) or ("SELECT" if isinstance(_parsed(sql), exp.Query) else "")


def anonymous_columns(sql: str) -> dict[int, str]:
    """The names that BigQuery gives to columns of a query without one, by their positions."""
    statement = _parsed(sql)
    if not isinstance(statement, exp.Query) or any(column.is_star for column in statement.selects):
        return {}
    named = (exp.Alias, exp.Column, exp.Dot)
    unnamed = [position for position, column in enumerate(statement.selects) if not isinstance(column, named)]
    return {position: f"f{number}_" for number, position in enumerate(unnamed)}


def _qualified(sql: str, prefix: str) -> str:
    """A query with a prefix before the tables that it names without a dataset and does not make itself.

    The first statement of a block of a script stays as it is: nothing here can parse it.
    """
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="bigquery") if statement is not None]
    except sqlglot.errors.SqlglotError:
        return sql
    own = {cte.alias.lower() for statement in statements for cte in statement.find_all(exp.CTE)}
    temporary = [statement for statement in statements if statement.find(exp.TemporaryProperty)]
    own |= {table.name.lower() for statement in temporary for table in [statement.find(exp.Table)] if table}
    positions = {
        table.this.meta["start"]
        for statement in statements
        for table in statement.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier) and not table.db and table.name.lower() not in own
        if not isinstance(table.parent, exp.UserDefinedFunction)
    }
    for position in sorted(positions, reverse=True):
        sql = sql[:position] + prefix + sql[position:]
    return sql


def _parsed(sql: str) -> exp.Expr | None:
    try:
        return sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None  # the emulator says what is wrong with it


def _replaced(sql: str, texts: dict[str, str]) -> str:
    """A query whose parameters are replaced; texts, names and comments stay."""
    try:
        tokens = sqlglot.tokenize(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return sql  # the emulator says what is wrong with it
    parts, end = [], 0
    for before, sign, name in zip([None, *tokens], tokens, tokens[1:], strict=False):
        is_system = TokenType.PARAMETER in (name.token_type, before and before.token_type)
        if sign.token_type != TokenType.PARAMETER or is_system or name.start != sign.end + 1:
            continue
        if name.text.lower() not in texts:
            raise InvalidQueryError(f"Query parameter '{name.text}' not found", location="query")
        parts += [sql[end : sign.start], texts[name.text.lower()]]
        end = name.end + 1
    return "".join([*parts, sql[end:]])


def _literal(parameter: dict[str, Any]) -> str:
    """The value of a parameter in SQL."""
    kind, value = parameter["parameterType"], parameter.get("parameterValue") or {}
    if kind["type"] == "ARRAY":
        element = kind["arrayType"]
        items = ", ".join(_scalar(element, item) for item in value.get("arrayValues") or [])
        return f"CAST([{items}] AS ARRAY<{_type(element)}>)"
    return _scalar(kind, value)


def _scalar(kind: dict[str, Any], value: dict[str, Any]) -> str:
    text = value.get("value")
    literal = "NULL" if text is None else exp.Literal.string(text).sql("bigquery")
    return f"CAST({literal} AS {_type(kind)})"


def _type(kind: dict[str, Any]) -> str:
    if kind["type"] in ("STRUCT", "ARRAY", "RANGE") or not _TYPE.fullmatch(kind["type"]):
        raise UnsupportedFeatureError(f"Parameters of type {kind['type']} in scripts are not emulated.")
    return kind["type"]
