"""What is shown of the logs of a run's tasks while it goes on."""

from pathlib import Path

from seatrial.pipelines.log_stream import LogStream


def test_each_line_comes_once_when_it_is_whole_with_the_name_of_its_task(tmp_path: Path) -> None:
    train, score = tmp_path / "train-3.log", tmp_path / "score-4.log"
    train.write_text("one\ntw")
    stream = LogStream(lambda: sorted(tmp_path.glob("*.log"), reverse=True))
    assert list(stream.new_lines()) == [("train-3", "one")]
    assert list(stream.new_lines()) == []
    with train.open("a") as log:
        log.write("o\nthree\n")
    score.write_text("first\nlast")
    assert list(stream.new_lines()) == [("train-3", "two"), ("train-3", "three"), ("score-4", "first")]
    assert list(stream.new_lines(to_end=True)) == [("score-4", "last")]


def test_what_is_no_text_is_shown_as_well_as_it_can_be(tmp_path: Path) -> None:
    log = tmp_path / "a-1.log"
    log.write_bytes(b"\xff\xfe\n\r\n" + b"x" * 2_500_000 + b"\n")
    stream = LogStream(lambda: [log])
    shown = [line for _ in range(4) for _, line in stream.new_lines()]
    assert shown[:2] == ["\ufffd\ufffd", ""]
    assert "".join(shown[2:]) == "x" * 2_500_000


def test_what_the_executor_of_kfp_says_of_itself_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "a-1.log"
    stream = LogStream(lambda: [log])
    log.write_text('[KFP Executor x INFO]: Looking\n[KFP Executor x INFO]: Got executor_input:\n{\n    "inputs": {\n')
    assert list(stream.new_lines()) == []
    with log.open("a") as file:
        file.write("    }\n}\nmine\n{\n}\n[KFP Executor x INFO]: Wrote executor output file\n")
    assert [line for _, line in stream.new_lines()] == ["mine", "{", "}"]
