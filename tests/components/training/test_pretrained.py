"""Pretrained models in Cloud Storage, through Google's client: what is resolved is what is copied."""

import pytest

from seatrial.components.artifacts import MANIFEST_NAME, read_manifest
from seatrial.components.runtime import InputError
from seatrial.components.training.pretrained import ingest, resolve

NAMES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def client():
    from google.cloud.storage import Client

    return Client()


def put(bucket: str, *names: str, content: str = "first") -> dict[str, str]:
    """Writes objects and returns their generations."""
    generations = {}
    for name in names:
        blob = client().bucket(bucket).blob(name)
        blob.upload_from_string(f"{content} {name.rsplit('/', 1)[-1]}")
        generations[name] = str(blob.generation)
    return generations


@pytest.fixture
def source(bucket):
    put(bucket, *(f"models/tiny/{name}" for name in NAMES))
    return resolve(client(), f"gs://{bucket}/models/tiny")


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_files_of_a_model_are_listed_by_name_with_their_generations(bucket, ending):
    generations = put(bucket, *(f"models/tiny/{name}" for name in reversed(NAMES)))

    entries = resolve(client(), f"gs://{bucket}/models/tiny{ending}")

    assert entries == [
        {"uri": f"gs://{bucket}/models/tiny/{name}", "generation": generations[f"models/tiny/{name}"]} for name in NAMES
    ]


def test_a_model_may_fill_a_bucket_of_its_own(bucket):
    put(bucket, *NAMES)

    assert [entry["uri"] for entry in resolve(client(), f"gs://{bucket}")] == [f"gs://{bucket}/{n}" for n in NAMES]


def test_what_is_no_data_of_the_model_is_never_taken(bucket, tmp_path):
    others = [
        "README.md",
        "pytorch_model.bin",
        "modeling.py",
        "training_args.bin",
        "_MANIFEST.json",
        "onnx/config.json",
    ]
    put(bucket, *(f"m/{name}" for name in NAMES + others), "m-large/config.json", "config.json")

    manifest = ingest(client(), resolve(client(), f"gs://{bucket}/m"), tmp_path / "model")

    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [MANIFEST_NAME, *NAMES]
    assert sorted(manifest.files) == NAMES


def test_a_folder_without_a_tokenizers_settings_is_a_model_too(bucket, tmp_path):
    put(bucket, *(f"m/{name}" for name in NAMES[:3]))

    manifest = ingest(client(), resolve(client(), f"gs://{bucket}/m"), tmp_path / "model")

    assert sorted(manifest.files) == NAMES[:3]


@pytest.mark.parametrize("missing", NAMES[:3])
def test_a_folder_that_lacks_a_file_is_reported(bucket, missing):
    put(bucket, *(f"m/{name}" for name in NAMES if name != missing))

    with pytest.raises(InputError, match=f"'gs://{bucket}/m' has no {missing}. Expected the folder of a Hugging Face"):
        resolve(client(), f"gs://{bucket}/m")


@pytest.mark.parametrize("path", ["none", "m/config.json", "*", ""])
def test_a_uri_that_is_no_folder_of_a_model_is_reported(bucket, path):
    put(bucket, *(f"m/{name}" for name in NAMES))

    with pytest.raises(InputError, match="has no config.json, model.safetensors, tokenizer.json"):
        resolve(client(), f"gs://{bucket}/{path}")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "is empty; expected a folder such as gs://"),
        ("models/tiny", "'models/tiny' is no Cloud Storage URI"),
        ("https://huggingface.co/a/b", "is no Cloud Storage URI"),
        ("gs://no-such-bucket-8e1c/m", "'gs://no-such-bucket-8e1c/m' was not found: its bucket does not exist"),
    ],
)
def test_a_uri_that_names_nothing_is_reported(vertex, uri, message):
    with pytest.raises(InputError, match=message):
        resolve(client(), uri)


def test_a_copy_holds_what_was_resolved_and_a_manifest(source, tmp_path):
    manifest = ingest(client(), source, tmp_path / "model")

    assert {name: (tmp_path / "model" / name).read_text() for name in NAMES} == {
        name: f"first {name}" for name in NAMES
    }
    assert manifest == read_manifest(tmp_path / "model", kind="model")
    assert ingest(client(), source, tmp_path / "again").digest == manifest.digest


@pytest.mark.parametrize("name", NAMES)
def test_an_object_that_was_replaced_since_is_reported(bucket, source, tmp_path, name):
    put(bucket, f"models/tiny/{name}", content="second")

    with pytest.raises(InputError, match=f"models/tiny/{name}' was not found: .* replaced or deleted since"):
        ingest(client(), source, tmp_path / "model")

    assert not (tmp_path / "model" / MANIFEST_NAME).exists()


def test_an_object_that_was_deleted_since_is_reported_and_an_older_copy_is_no_model_any_more(bucket, source, tmp_path):
    ingest(client(), source, tmp_path / "model")
    client().bucket(bucket).blob("models/tiny/tokenizer.json").delete()

    with pytest.raises(InputError, match=r"tokenizer.json' was not found: .* replaced or deleted since"):
        ingest(client(), source, tmp_path / "model")

    assert not (tmp_path / "model" / MANIFEST_NAME).exists()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "gs://bucket/config.json",
        ["gs://bucket/config.json", "1"],
        {},
        {"uri": "gs://bucket/config.json"},
        {"uri": None, "generation": "1"},
        {"uri": "gs://bucket/config.json", "generation": 1},
        {"uri": "gs://bucket/config.json", "generation": 1.0},
        {"uri": "gs://bucket/config.json", "generation": ""},
        {"uri": "gs://bucket/config.json", "generation": "-1"},
        {"uri": "gs://bucket/config.json", "generation": "1e3"},
        {"uri": "gs://bucket/config.json", "generation": "9" * 5000},
        {"uri": "gs://bucket/config.json", "generation": "٣"},
        {"uri": "gs://bucket/pytorch_model.bin", "generation": "1"},
        {"uri": "gs://bucket/modeling.py", "generation": "1"},
        {"uri": "gs://bucket/_MANIFEST.json", "generation": "1"},
        {"uri": "gs://bucket/..", "generation": "1"},
        {"uri": "gs://bucket/folder/", "generation": "1"},
        {"uri": "gs://bucket/x/..\\config.json", "generation": "1"},
        {"uri": "gs://config.json", "generation": "1"},
        {"uri": "/etc/config.json", "generation": "1"},
        {"uri": "file:///etc/config.json", "generation": "1"},
    ],
    ids=lambda entry: repr(entry)[:80],
)
def test_an_entry_that_names_no_file_of_a_model_is_refused_before_anything_is_written(vertex, tmp_path, entry):
    with pytest.raises(InputError, match=r"source\[0\]"):
        ingest(client(), [entry], tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_names_that_lead_out_of_the_folder_write_nothing_there(bucket, source, tmp_path):
    (tmp_path / "config.json").write_text("untouched")
    hostile = [{**source[0], "uri": f"gs://{bucket}/models/../../config.json"}, *source[1:]]

    with pytest.raises(InputError, match=r"\.\./config.json"):
        ingest(client(), hostile, tmp_path / "a" / "model")

    assert {path.name for path in tmp_path.iterdir()} == {"a", "config.json"}
    assert (tmp_path / "config.json").read_text() == "untouched"
    assert not (tmp_path / "a" / "model" / MANIFEST_NAME).exists()


def test_a_source_that_is_no_whole_model_is_refused(source, tmp_path):
    for part in ([], source[:2], source[3:]):
        with pytest.raises(InputError, match=r"source has no .*json. Pass the output of resolve_model"):
            ingest(client(), part, tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_a_source_with_two_files_of_a_name_is_refused(bucket, source, tmp_path):
    generations = put(bucket, "other/config.json")
    twice = [*source, {"uri": f"gs://{bucket}/other/config.json", "generation": generations["other/config.json"]}]

    with pytest.raises(InputError, match="source has config.json twice"):
        ingest(client(), twice, tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_generation_0_is_none(bucket, source, tmp_path):
    with pytest.raises(InputError):
        ingest(client(), [{**source[0], "generation": "0"}, *source[1:]], tmp_path / "model")
