"""The constructs of GoogleSQL that curation may use: each gives what is documented, and no other is let in."""

import pyarrow
import pytest

from seatrial.components.curation.duckdb_engine import duckdb_engine
from seatrial.components.curation.googlesql import to_duckdb
from seatrial.components.runtime import InputError

ROWS = pyarrow.table(
    {
        "n": [1, 2, 3, None],
        "t": ["a", "ä b", "", None],
        "x": [0.5, -1.5, 2.0, None],
        "b": [True, False, None, True],
        "a": [[1, 2], [], [3], None],
    }
)
OTHER = pyarrow.table({"n": [2, 3, 9], "u": ["two", "three", "nine"]})
TABLES = frozenset({"rows", "other"})

# What may be used: the statement, what it selects according to the documentation of GoogleSQL.
CONSTRUCTS = {
    "SELECT n FROM rows WHERE n > 1 AND NOT n = 3": [(2,)],
    "SELECT n FROM rows WHERE n <> 1 OR t LIKE 'a%' ORDER BY n": [(1,), (2,), (3,)],
    "SELECT n FROM rows WHERE n BETWEEN 2 AND 3 ORDER BY n DESC": [(3,), (2,)],
    "SELECT n FROM rows WHERE n IN (1, 3) ORDER BY n": [(1,), (3,)],
    "SELECT n FROM rows WHERE n IN (SELECT n FROM other) ORDER BY n": [(2,), (3,)],
    "SELECT n FROM rows ORDER BY n LIMIT 2": [(None,), (1,)],  # Nulls are the smallest.
    "SELECT COUNT(*) FROM rows WHERE t IS NULL": [(1,)],
    "SELECT n FROM rows WHERE t = ''": [(3,)],  # An empty text is no null.
    "SELECT DISTINCT b FROM rows WHERE b IS NOT NULL ORDER BY b": [(False,), (True,)],
    "SELECT r.n, o.u FROM rows AS r JOIN other AS o ON r.n = o.n ORDER BY r.n": [(2, "two"), (3, "three")],
    "SELECT r.n, o.u FROM rows AS r LEFT JOIN other AS o ON r.n = o.n WHERE o.n IS NULL AND r.n = 1": [(1, None)],
    "SELECT n, u FROM rows JOIN other USING (n) WHERE n = 2": [(2, "two")],
    "SELECT COUNT(*) FROM rows AS r CROSS JOIN other AS o": [(12,)],
    "SELECT n, e FROM rows, UNNEST(a) AS e ORDER BY e": [(1, 1), (1, 2), (3, 3)],
    "SELECT n, ARRAY_LENGTH(a) FROM rows WHERE n IS NOT NULL ORDER BY n": [(1, 2), (2, 0), (3, 1)],
    "SELECT n FROM rows WHERE n = 1 UNION ALL SELECT n FROM other WHERE n = 9": [(1,), (9,)],
    "WITH big AS (SELECT n FROM rows WHERE n > 1) SELECT COUNT(*) FROM big": [(2,)],
    "SELECT m FROM (SELECT n + 1 AS m FROM rows) WHERE m = 4": [(4,)],
    "SELECT * EXCEPT (t, x, b, a) FROM rows WHERE n = 1": [(1,)],
    "SELECT b, COUNT(*), COUNT(n), SUM(n), MIN(n), MAX(n), AVG(x) FROM rows GROUP BY b HAVING COUNT(*) > 1": [
        (True, 2, 1, 1, 1, 1, 0.5)
    ],
    "SELECT COUNT(DISTINCT b), SUM(n) FROM rows WHERE n > 99": [(0, None)],
    "SELECT n FROM rows WHERE n IS NOT NULL QUALIFY ROW_NUMBER() OVER (ORDER BY n DESC) = 1": [(3,)],
    "SELECT n, COUNT(*) OVER (PARTITION BY b) FROM rows WHERE n IS NOT NULL ORDER BY n": [(1, 1), (2, 1), (3, 1)],
    "SELECT n, MIN(n) OVER () FROM rows WHERE n > 1 ORDER BY n": [(2, 2), (3, 2)],
    "SELECT IF(n = 1, 'one', 'more'), CASE WHEN n = 1 THEN 'x' ELSE 'y' END FROM rows WHERE n = 1": [("one", "x")],
    "SELECT IF(b, 1, 2) FROM rows WHERE n = 3": [(2,)],  # Null is not true.
    "SELECT IFNULL(t, 'none'), COALESCE(n, 0), NULLIF(b, TRUE) FROM rows WHERE n IS NULL": [("none", 0, None)],
    "SELECT n + 1, n - 1, n * 2, -n, ABS(-n) FROM rows WHERE n = 3": [(4, 2, 6, -3, 3)],
    "SELECT SAFE_DIVIDE(n, 2), SAFE_DIVIDE(n, 0) FROM rows WHERE n = 3": [(1.5, None)],
    "SELECT FLOOR(x), CEIL(x) FROM rows WHERE n = 2": [(-2.0, -1.0)],
    "SELECT CAST(n AS STRING), CAST('7' AS INT64), CAST(n AS FLOAT64), CAST(2.0 AS INT64) FROM rows WHERE n = 2": [
        ("2", 7, 2.0, 2)
    ],
    "SELECT CONCAT(t, '!'), t || '?', CONCAT(t, CAST(NULL AS STRING)) FROM rows WHERE n = 1": [("a!", "a?", None)],
    "SELECT LENGTH(t), TRIM('  y '), REPLACE(t, 'ä', 'ae'), STARTS_WITH(t, 'ä') FROM rows WHERE n = 2": [
        (3, "y", "ae b", True)
    ],
    r"SELECT REGEXP_CONTAINS(t, r'^\w'), REGEXP_CONTAINS(t, 'b$') FROM rows WHERE n = 2": [(False, True)],
    "SELECT TO_HEX(MD5('a')), TO_HEX(MD5('ä'))": [
        ("0cc175b9c0f1b6a831c399e269772661", "8419b71c87a225a2c70b50486fbee545")
    ],
    "SELECT n FROM rows WHERE n = @number AND t = @text AND @flag AND x = @share": [(1,)],
}
PARAMETERS = {"number": 1, "text": "a", "flag": True, "share": 0.5}


@pytest.fixture(scope="module")
def engine():
    with duckdb_engine() as found:
        for name, table in (("rows", ROWS), ("other", OTHER)):
            found.load(name, iter(table.to_batches()), table.schema)
        yield found


@pytest.mark.parametrize("sql", CONSTRUCTS)
def test_a_construct_on_the_list_means_what_is_documented(sql, engine):
    assert engine.rows(sql, PARAMETERS) == CONSTRUCTS[sql]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("DROP TABLE rows", "holds DROP; expected one SELECT"),
        ("DELETE FROM rows WHERE TRUE", "holds DELETE; expected one SELECT"),
        ("INSERT INTO rows SELECT * FROM other", "holds INSERT"),
        ("CREATE TABLE x AS SELECT 1", "holds CREATE"),
        ("SELECT 1; DROP TABLE rows", "holds SELECT, DROP; expected one SELECT"),
        ("ATTACH 'x.db'", "expected one SELECT|not valid"),
        ("COPY rows TO 'x.csv'", "expected one SELECT|not valid"),
        ("", "holds nothing"),
        ("SELECT FROM WHERE", "is not valid GoogleSQL"),
        ("SELECT " + "(" * 5_000, "is not valid GoogleSQL: nested too deeply"),
        ("SELECT '" + "x" * 100_000 + "'", "100,009 characters; expected at most 100,000"),
        ("SELECT * FROM read_csv('/etc/passwd')", "reads .*; it may read other, rows"),
        ("SELECT * FROM '/etc/passwd'", "reads|not valid"),
        ("SELECT * FROM project.dataset.rows", "reads project.dataset.*; it may read other, rows"),
        ("SELECT * FROM information_schema.tables", "reads .*information_schema.tables"),
        ("SELECT * FROM others", "reads others; it may read other, rows"),
        ("SELECT getenv('HOME')", 'uses "?.*getenv.*which is not known to mean the same'),
        ("SELECT LOWER(t) FROM rows", "uses 'LOWER.t.'"),
        ("SELECT NORMALIZE(t) FROM rows", "uses 'NORMALIZE"),
        ("SELECT COUNTIF(b) FROM rows", "uses 'COUNTIF"),  # DuckDB: null where there is no row.
        ("SELECT DIV(n * 2 + 1, 2) FROM rows", "uses 'DIV"),  # sqlglot loses the parentheses.
        ("SELECT n / 2 FROM rows", "uses 'n / 2'"),  # By zero: an error there, null here.
        ("SELECT SAFE_CAST(t AS INT64) FROM rows", "uses 'SAFE_CAST"),
        ("SELECT CAST(t AS DATE) FROM rows", "uses the type DATE"),
        ("SELECT e FROM rows, UNNEST(a) AS e WITH OFFSET AS place", "uses WITH OFFSET"),
        ("SELECT ARRAY_AGG(n) FROM rows", "uses 'ARRAY_AGG"),
        ("SELECT RAND()", "uses 'RAND"),
        ("SELECT CURRENT_TIMESTAMP()", "uses 'CURRENT_TIMESTAMP"),
        ("SELECT n FROM rows FULL JOIN other USING (n)", "uses FULL"),
        ("SELECT t[0] FROM rows", "uses"),
    ],
)
def test_anything_else_is_refused_with_its_name(sql, problem):
    with pytest.raises(InputError, match=f"the statement .*{problem}"):
        to_duckdb(sql, TABLES, "the statement")


def test_a_statement_that_fails_says_why(engine):
    with pytest.raises(InputError, match="a query fails: .*nope.*Correct the statement"):
        engine.rows("SELECT nope FROM rows")
