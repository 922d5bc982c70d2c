"""What is trained on: the texts and labels of a table, checked."""

import pyarrow
import pytest

from seatrial.components.artifacts import read_manifest, write_table
from seatrial.components.runtime import InputError
from seatrial.components.training.examples import read_examples


def test_texts_and_labels_come_in_the_order_of_the_rows_with_the_digest_of_the_table(tmp_path):
    columns = {"label": ["b", "a", "b"], "row_id": [3, 1, 2], "text": ["tea", "", "🍵"]}
    write_table(tmp_path / "t", pyarrow.table(columns), metadata={})

    texts, labels, digest = read_examples(tmp_path / "t")

    assert (texts, labels) == (["tea", "", "🍵"], ["b", "a", "b"])
    assert digest == read_manifest(tmp_path / "t", kind="table").digest


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["x"]}, "has no column 'label'; it has 'text'"),
        ({"text": pyarrow.array([], "string"), "label": pyarrow.array([], "string")}, "has no rows; .* ledger"),
        ({"text": ["tea", None], "label": ["a", "b"]}, "Column 'text' .* has 1 nulls in 2 rows, the first in row 1"),
        ({"text": ["tea", "cup"], "label": ["a", None]}, "Column 'label' .* has 1 nulls in 2 rows, the first in row 1"),
        ({"text": ["tea", "cup"], "label": [1, 2]}, "Column 'label' .* has type int64; expected strings"),
        ({"text": [None, None], "label": ["a", "b"]}, "Column 'text' .* has type null; expected strings"),
    ],
)
def test_a_table_that_nothing_can_be_learnt_from_is_refused(tmp_path, columns, message):
    write_table(tmp_path / "t", pyarrow.table(columns), metadata={})

    with pytest.raises(InputError, match=message):
        read_examples(tmp_path / "t")


def test_a_column_of_free_text_is_no_label_column(tmp_path):
    texts = [f"review {number}" for number in range(1001)]
    write_table(tmp_path / "t", pyarrow.table({"text": texts, "label": texts}), metadata={})
    write_table(tmp_path / "most", pyarrow.table({"text": texts[1:], "label": texts[1:]}), metadata={})

    with pytest.raises(InputError, match="has 1,001 distinct labels in 1,001 rows; .* at most 1,000.* label_column"):
        read_examples(tmp_path / "t")
    assert len(read_examples(tmp_path / "most")[1]) == 1000
