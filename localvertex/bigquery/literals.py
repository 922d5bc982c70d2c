"""A rule for the emulator's translation. What translates takes the rules that are there when it is imported."""

from bqemulator.sql.rules import register
from bqemulator.sql.rules._base import TranslationRule
from sqlglot import exp

_WIDE_PARENTS = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.Paren, exp.Select, exp.Alias, exp.Tuple),
    *(exp.If, exp.Case, exp.Coalesce, exp.Array, exp.PropertyEQ),
)


@register
class Int64Literals(TranslationRule):
    """Makes integers in arithmetic and in results BIGINT: those of DuckDB have 32 bits and overflow."""

    name = "INT64_LITERALS"

    def applies_to(self, node: exp.Expression) -> bool:
        """Whether a node is such an integer; elsewhere, as in LIMIT 10, it may have to stay a literal."""
        return isinstance(node, exp.Literal) and node.is_int and isinstance(node.parent, _WIDE_PARENTS)

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        """The integer as a BIGINT."""
        return exp.Cast(this=node.copy(), to=exp.DataType.build("BIGINT"))
