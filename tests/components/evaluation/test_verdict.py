"""A verdict is read as it was written, or refused with what is wrong with it."""

import json

import pytest

from seatrial.components.evaluation.verdict import Reason, Verdict, read_verdict, write_verdict
from seatrial.components.runtime import InputError

HOLD = {"verdict": "hold", "reasons": [{"code": "identical", "text": "The same model."}], "evidence": {"rows": 3}}


def test_what_was_written_is_read(tmp_path):
    write_verdict(tmp_path / "verdict", Verdict("hold", [Reason("identical", "The same model.")], {"rows": 3}))

    assert read_verdict(tmp_path / "verdict") == HOLD


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "maybe"}, "holds no verdict"),
        ({"verdict": ["hold"]}, "holds no verdict"),
        ({"reasons": []}, "gives no reasons"),
        ({"reasons": None}, "has the 'reasons' None"),
        ({"reasons": ["identical"]}, r"reasons\[0\] is a JSON str"),
        ({"reasons": [{"code": "identical"}]}, r"reasons\[0\] has no 'text'"),
        ({"evidence": []}, r"has the 'evidence' \[\]"),
    ],
)
def test_what_is_no_verdict_is_refused(tmp_path, changes, message):
    (tmp_path / "verdict").write_text(json.dumps({**HOLD, **changes}))

    with pytest.raises(InputError, match=f"{message}.*Pass the output of compare_models"):
        read_verdict(tmp_path / "verdict")
