"""Which objects a URI stands for. What asks Cloud Storage is contract-tested against the local Vertex."""

import pytest
from google.api_core.exceptions import BadRequest

from seatrial.components.curation.source import choose, listing_prefix, parse_uri, resolve, storage_errors
from seatrial.components.runtime import InputError

NAMES = ["a.csv", "a.csv.old", "b[1].csv", "reviews/", "reviews/1.csv", "reviews/2.csv", "reviews/old/0.csv"]
NAMES += ["reviews/_SUCCESS"]


@pytest.mark.parametrize(
    ("uri", "bucket", "path"),
    [
        ("gs://bucket", "bucket", ""),
        ("gs://bucket/", "bucket", ""),
        ("gs://my-bucket_1.org/a b/*.csv", "my-bucket_1.org", "a b/*.csv"),
    ],
)
def test_a_uri_is_a_bucket_and_a_path(uri, bucket, path):
    assert parse_uri(uri) == (bucket, path)


@pytest.mark.parametrize(
    "uri",
    ["", "reviews.csv", "/data/reviews.csv", "s3://bucket/a.csv", "gs://", "gs:///a", "gs://*/a", "gs://bucket-/a"],
)
def test_anything_else_is_refused(uri):
    with pytest.raises(InputError, match="is no Cloud Storage URI. Expected gs://bucket/folder"):
        parse_uri(uri)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("reviews", ["reviews/1.csv", "reviews/2.csv", "reviews/old/0.csv"]),
        ("reviews/", ["reviews/1.csv", "reviews/2.csv", "reviews/old/0.csv"]),
        ("", ["a.csv", "a.csv.old", "b[1].csv", "reviews/1.csv", "reviews/2.csv", "reviews/old/0.csv"]),
        ("reviews/*", ["reviews/1.csv", "reviews/2.csv", "reviews/_SUCCESS"]),
        ("reviews/[23].csv", ["reviews/2.csv"]),
        ("*/?.csv", ["reviews/1.csv", "reviews/2.csv"]),
        ("*.csv", ["a.csv", "b[1].csv"]),
        ("b[1].csv", ["b[1].csv"]),
        ("rev", []),
        ("reviews/*.parquet", []),
    ],
)
def test_a_path_is_a_pattern_or_an_object_or_a_folder(path, names):
    assert choose(NAMES, path) == names
    assert all(name.startswith(listing_prefix(path)) for name in names)


def upload(bucket: str, **objects: bytes) -> dict[str, str]:
    """Writes objects (two underscores in a name stand for a slash, one for a dot) and returns their generations."""
    from google.cloud import storage

    generations = {}
    for name, content in objects.items():
        blob = storage.Client().bucket(bucket).blob(name.replace("__", "/").replace("_", "."))
        blob.upload_from_string(content)
        generations[f"gs://{bucket}/{blob.name}"] = str(blob.generation)
    return generations


def resolved(train_uri: str, test_uri: str = "") -> list[dict[str, str]]:
    from google.cloud import storage

    return resolve(storage.Client(), train_uri, test_uri)


def test_objects_are_listed_in_order_with_their_generations(bucket):
    generations = upload(bucket, reviews__b_csv=b"x", reviews__a_parquet=b"x", reviews__c_jsonl=b"x", other_txt=b"x")

    entries = resolved(f"gs://{bucket}/reviews")

    assert [(entry["uri"].rsplit("/", 1)[1], entry["format"]) for entry in entries] == [
        ("a.parquet", "parquet"),
        ("b.csv", "csv"),
        ("c.jsonl", "jsonl"),
    ]
    assert all(entry["generation"] == generations[entry["uri"]] and entry["split"] == "" for entry in entries)


def test_a_replaced_object_has_another_generation(bucket):
    upload(bucket, a_csv=b"x")
    before = resolved(f"gs://{bucket}/a.csv")
    upload(bucket, a_csv=b"y")

    assert resolved(f"gs://{bucket}/a.csv") != before


def test_two_uris_give_a_train_and_a_test_split(bucket):
    upload(bucket, train__1_csv=b"x", train__2_csv=b"x", test__1_csv=b"x")

    entries = resolved(f"gs://{bucket}/train/*.csv", f"gs://{bucket}/test/1.csv")

    assert [(entry["split"], entry["uri"].removeprefix(f"gs://{bucket}/")) for entry in entries] == [
        ("test", "test/1.csv"),
        ("train", "train/1.csv"),
        ("train", "train/2.csv"),
    ]


def test_a_bucket_that_does_not_exist_is_reported(vertex):
    with pytest.raises(InputError, match="'gs://no-such-bucket-5f3a/a.csv' was not found: its bucket does not exist"):
        resolved("gs://no-such-bucket-5f3a/a.csv")


def test_a_bucket_name_that_cloud_storage_refuses_is_reported():
    message = r"Cloud Storage refuses 'gs://a..b/a.csv' \(Invalid bucket name: 'a..b'\). Correct the bucket's name"
    with pytest.raises(InputError, match=message), storage_errors("gs://a..b/a.csv"):
        raise BadRequest("Invalid bucket name: 'a..b'")


@pytest.mark.parametrize("path", ["*.parquet", "none.csv", "folder/"])
def test_a_uri_that_nothing_matches_is_reported(bucket, path):
    upload(bucket, a_csv=b"x")

    with pytest.raises(InputError, match="Nothing matches"):
        resolved(f"gs://{bucket}/{path}")


def test_an_object_of_another_format_is_reported(bucket):
    upload(bucket, a_txt=b"x")

    with pytest.raises(InputError, match=r"a.txt is of no known format. Expected a name that ends in .parquet, .csv"):
        resolved(f"gs://{bucket}/a.txt")


def test_an_empty_object_is_reported(bucket):
    upload(bucket, a_csv=b"x", b_csv=b"")

    with pytest.raises(InputError, match=r"b.csv is empty \(0 bytes\)"):
        resolved(f"gs://{bucket}/*.csv")


def test_an_object_in_both_splits_is_reported(bucket):
    upload(bucket, a_csv=b"x")

    with pytest.raises(InputError, match="both name gs://.*/a.csv. Test data must not be trained on"):
        resolved(f"gs://{bucket}/*.csv", f"gs://{bucket}/a.csv")
