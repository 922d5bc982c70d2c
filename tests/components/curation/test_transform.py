"""A user's own statement on a table: what it selects, and a ledger of what it leaves out."""

from pathlib import Path

import pyarrow
import pytest

from seatrial.components.curation.transform import transform
from seatrial.components.runtime import InputError

from .curated import table_folder

TABLE = pyarrow.table(
    {
        "row_id": ["a", "b", "c"],
        "split": ["train", "train", "test"],
        "review": ["good tea", "bad", "a fine cup"],
        "price": [1.5, None, 3.0],
    }
)


def transformed(path: Path, sql: str, table: pyarrow.Table = TABLE) -> tuple[list[dict], list[dict]]:
    with transform(table_folder(path / "table", table), sql) as result:
        return result.selected().read_all().to_pylist(), result.ledger().read_all().to_pylist()


def test_rows_that_the_statement_leaves_out_are_in_the_ledger(tmp_path):
    selected, ledger = transformed(
        tmp_path,
        "SELECT row_id, split, TRIM(review) AS review, price * 2 AS twice FROM source WHERE LENGTH(review) > 3",
    )

    assert selected == [
        {"row_id": "a", "split": "train", "review": "good tea", "twice": 3.0},
        {"row_id": "c", "split": "test", "review": "a fine cup", "twice": 6.0},
    ]
    assert ledger == [
        {
            "row_id": "b",
            "operation": "transform_table",
            "reason": "not selected by the statement",
            "related_row_id": None,
        }
    ]


def test_rows_stay_in_the_order_of_the_table(tmp_path):
    selected, ledger = transformed(tmp_path, "SELECT * FROM source ORDER BY row_id DESC")

    assert selected == TABLE.to_pylist()
    assert not ledger


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DROP TABLE source", "sql holds DROP; expected one SELECT"),
        ("SELECT * FROM read_text('/etc/passwd')", "sql reads .*; it may read source"),
        ("SELECT * FROM places", "sql reads .*places.*; it may read source"),
        ("SELECT review, split FROM source", "expected 'row_id' among the columns"),
        ("SELECT row_id FROM source", "expected 'split' among the columns"),
        ("SELECT s.* FROM source AS s CROSS JOIN source AS t", "sql selects 6 rows again"),
        (
            "SELECT * EXCEPT (row_id), 'x' AS row_id FROM source LIMIT 1",
            "sql selects the row_id 'x', which the table has not",
        ),
        ("SELECT * EXCEPT (row_id), CAST(NULL AS STRING) AS row_id FROM source LIMIT 1", "sql selects"),
        ("SELECT row_id, split, review FROM source WHERE stars > 1", "selected fails: .*stars"),
        ("SELECT row_id, split, CAST(review AS INT64) AS n FROM source", "selected fails: .*good tea"),
    ],
)
def test_a_statement_that_may_not_be_run_or_loses_count_of_the_rows_is_refused(sql, message, tmp_path):
    with pytest.raises(InputError, match=message):
        transformed(tmp_path, sql)


def test_a_table_without_row_ids_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no column 'row_id'"):
        transformed(tmp_path, "SELECT * FROM source", TABLE.drop_columns("row_id"))
