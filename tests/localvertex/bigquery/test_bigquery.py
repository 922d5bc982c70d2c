"""BigQuery through Google's own client, and Google's pipeline component for queries."""

import hashlib
import io
import json
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions
from google.cloud import aiplatform, bigquery, storage
from google.cloud.bigquery import (
    ArrayQueryParameter,
    ExtractJobConfig,
    LoadJobConfig,
    ParquetOptions,
    QueryJobConfig,
    ScalarQueryParameter,
    SchemaField,
)
from kfp import compiler, dsl

from seatrial.localvertex import injection, lifecycle
from seatrial.localvertex.faults import Fault

DATASET = "reviews"
SCHEMA = [SchemaField("id", "INTEGER"), SchemaField("text", "STRING"), SchemaField("shingles", "INTEGER", "REPEATED")]
ROWS = [
    {"id": 1, "text": "good", "shingles": [1, 2, 3]},
    {"id": 2, "text": "good", "shingles": [2, 3]},
    {"id": 3, "text": None, "shingles": []},
]
TEXTS = pa.table(
    {"id": pa.array([1, 2], pa.int32()), "ids": pa.array([[1, 2], None], pa.list_(pa.int64())), "text": ["a", None]}
)


@dsl.pipeline(name="query")
def query_pipeline(threshold: int = 1):
    from google_cloud_pipeline_components.v1.bigquery import BigqueryQueryJobOp

    BigqueryQueryJobOp(
        query=f"SELECT id FROM {DATASET}.rows WHERE id > @threshold",
        location="europe-west4",
        job_configuration_query={
            "destinationTable": {"projectId": "local-project", "datasetId": DATASET, "tableId": "from_pipeline"},
            "writeDisposition": "WRITE_TRUNCATE",
            "queryParameters": [
                {"name": "threshold", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}}
            ],
        },
    )
    BigqueryQueryJobOp(query="SELECT no_column FROM no_dataset.no_table", location="US").set_display_name("fails")


@pytest.fixture(scope="module")
def client(vertex: lifecycle.Running) -> bigquery.Client:
    client = bigquery.Client(location="europe-west4")
    client.create_dataset(DATASET)
    client.create_table(bigquery.Table(f"local-project.{DATASET}.rows", SCHEMA))
    assert client.insert_rows_json(f"{DATASET}.rows", ROWS) == []
    return client


@pytest.fixture(scope="module", autouse=True)
def pipeline_job(client: bigquery.Client, tmp_path_factory: pytest.TempPathFactory) -> aiplatform.PipelineJob:
    """A pipeline that is under way while the other tests run: the component sleeps for 20 s before it looks."""
    path = tmp_path_factory.mktemp("pipeline") / "query.yaml"
    compiler.Compiler().compile(query_pipeline, str(path))
    root = f"bigquery-root-{time.time_ns()}"
    storage.Client().create_bucket(root)
    place = {"project": "local-project", "location": "us-central1", "pipeline_root": f"gs://{root}"}
    job = aiplatform.PipelineJob(display_name="query", template_path=str(path), enable_caching=False, **place)
    job.submit()
    return job


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """Name of a table that is not there yet."""
    return f"{DATASET}.{request.function.__name__}"


def query(client: bigquery.Client, sql: str, *parameters: Any, **options: Any) -> list[tuple]:
    job = client.query(sql, job_config=QueryJobConfig(query_parameters=parameters, **options))
    return [tuple(row.values()) for row in job.result()]


def rows(client: bigquery.Client, table: str) -> list[tuple]:
    return [tuple(row.values()) for row in client.list_rows(table)]


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def with_lists() -> ParquetOptions:
    options = ParquetOptions()
    options.enable_list_inference = True
    return options


def test_datasets_and_tables_are_made_listed_and_deleted(client: bigquery.Client) -> None:
    client.create_dataset("short_lived")
    with pytest.raises(exceptions.Conflict):
        client.create_dataset("short_lived")
    client.create_table(bigquery.Table("local-project.short_lived.one", SCHEMA))
    assert [table.table_id for table in client.list_tables("short_lived")] == ["one"]
    assert client.get_table("short_lived.one").schema[2].mode == "REPEATED"
    client.delete_dataset("short_lived", delete_contents=True)
    assert [dataset.dataset_id for dataset in client.list_datasets()] == [DATASET]  # without that of the results
    with pytest.raises(exceptions.NotFound):
        client.get_table("short_lived.one")


def test_a_query_has_parameters_a_default_dataset_and_labels(client: bigquery.Client) -> None:
    parameters = [
        ScalarQueryParameter("least", "INT64", 1),
        ScalarQueryParameter("share", "FLOAT64", 0.5),
        ScalarQueryParameter("seed", "STRING", "it's"),
        ArrayQueryParameter("texts", "STRING", ["good", "bad"]),
    ]
    config = QueryJobConfig(
        query_parameters=parameters, default_dataset=f"local-project.{DATASET}", labels={"purpose": "test"}
    )
    job = client.query(
        "SELECT id, id * @share AS half, 'a@seed.org', TO_HEX(MD5(CONCAT(@seed, text))), shingles FROM rows  "
        "-- not @one\nWHERE id >= @LEAST AND text IN UNNEST(@texts) ORDER BY id LIMIT 1",
        job_config=config,
    )
    digest = hashlib.md5(b"it'sgood").hexdigest()
    assert [tuple(row.values()) for row in job.result()] == [(1, 0.5, "a@seed.org", digest, [1, 2, 3])]
    assert [field.name for field in job.result().schema] == ["id", "half", "f0_", "f1_", "shingles"]
    again = client.get_job(job.job_id)
    assert (again.labels, again.location, again.state) == ({"purpose": "test"}, "europe-west4", "DONE")
    assert job.job_id in {listed.job_id for listed in client.list_jobs()}


def test_arithmetic_is_that_of_int64(client: bigquery.Client) -> None:
    assert query(client, "SELECT 1073741823 * 1073741823, 7 / 2, DIV(-7, 2), SAFE_DIVIDE(1, 0)") == [
        (1073741823**2, 3.5, -3, None)
    ]


def test_what_curation_asks_for_is_understood(client: bigquery.Client) -> None:
    pairs = """
        WITH each AS (SELECT id, shingle FROM rows CROSS JOIN UNNEST(shingles) AS shingle)
        SELECT a.id, b.id, COUNT(*) OVER () FROM each AS a JOIN each AS b USING (shingle) WHERE a.id < b.id
        QUALIFY ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY shingle) = 1"""
    default = {"default_dataset": f"local-project.{DATASET}"}
    assert query(client, pairs, **default) == [(1, 2, 2)]
    assert query(client, "SELECT * EXCEPT (shingles) FROM rows WHERE text IS NULL", **default) == [(3, None)]
    sets = "SELECT id FROM rows EXCEPT DISTINCT SELECT 2 ORDER BY 1"
    assert query(client, sets, **default) == [(1,), (3,)]


def test_a_script_has_temporary_tables_and_parameters(client: bigquery.Client) -> None:
    script = """
        CREATE TEMP TABLE chosen AS SELECT id, ARRAY_LENGTH(shingles) AS n FROM rows WHERE text IN UNNEST(@texts);
        SELECT SUM(n), COUNTIF(n > @least) FROM chosen"""
    parameters = [ArrayQueryParameter("texts", "STRING", ["good", "it's"]), ScalarQueryParameter("least", "INT64", 2)]
    for _ in range(2):  # the tables of the first script are not there for the second
        assert query(client, script, *parameters, default_dataset=f"local-project.{DATASET}") == [(5, 1)]


def test_a_destination_table_is_written_as_its_disposition_says(client: bigquery.Client, table: str) -> None:
    destination = bigquery.TableReference.from_string(f"local-project.{table}")
    select = f"SELECT id, shingles, 'x' AS label FROM {DATASET}.rows WHERE id < 3"
    assert len(query(client, select, destination=destination)) == 2
    with pytest.raises(exceptions.Conflict, match="Already Exists: Table"):
        query(client, select, destination=destination)
    query(client, select, destination=destination, write_disposition="WRITE_APPEND")
    assert client.get_table(table).num_rows == 4
    with pytest.raises(exceptions.BadRequest, match="Cannot add fields"):
        query(client, "SELECT 1 AS other", destination=destination, write_disposition="WRITE_APPEND")
    query(client, "SELECT 1 AS other", destination=destination, write_disposition="WRITE_TRUNCATE")
    assert rows(client, table) == [(1,)]
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset"):
        query(client, select, destination=bigquery.TableReference.from_string("local-project.nowhere.table"))


def test_statements_make_and_change_tables(client: bigquery.Client, table: str) -> None:
    assert query(client, f"CREATE OR REPLACE TABLE {table} AS SELECT id, text FROM {DATASET}.rows") == []
    assert client.query(f"DELETE FROM {table} WHERE id > 1").result().num_dml_affected_rows == 2
    assert client.get_table(table).num_rows == 1
    assert rows(client, table) == [(1, "good")]


@pytest.mark.parametrize(
    ("sql", "error", "reason"),
    [
        ("SELEC 1", exceptions.BadRequest, "invalidQuery"),
        ("SELECT no_column FROM reviews.rows", exceptions.BadRequest, "invalidQuery"),
        ("SELECT @missing, @given", exceptions.BadRequest, "invalidQuery"),
        ("SELECT * FROM reviews.nothing", exceptions.NotFound, "notFound"),
        ("SELECT 1 / 0", exceptions.BadRequest, "invalidQuery"),
    ],
)
def test_a_query_that_cannot_run_says_why(client: bigquery.Client, sql: str, error: type, reason: str) -> None:
    given = ScalarQueryParameter("given", "INT64", 1)
    with pytest.raises(error) as job_error:
        query(client, sql, given)
    assert job_error.value.errors[0]["reason"] == reason
    with pytest.raises(error):  # which calls jobs.query, not jobs.insert
        client.query_and_wait(sql, job_config=QueryJobConfig(query_parameters=[given]))


def test_a_dry_run_tells_schema_and_bytes_without_running(client: bigquery.Client, table: str) -> None:
    def dry(sql: str) -> bigquery.QueryJob:
        return client.query(sql, job_config=QueryJobConfig(dry_run=True, use_query_cache=False))

    narrow = dry(f"SELECT id FROM {DATASET}.rows")
    assert (narrow.total_bytes_processed, [field.name for field in narrow.schema]) == (3 * 8, ["id"])
    assert dry(f"SELECT * FROM {DATASET}.rows").total_bytes_processed == 3 * 8 + 2 * (2 + 4) + 5 * 8
    assert dry(f"CREATE TABLE {table} AS SELECT id FROM {DATASET}.rows").total_bytes_processed == 3 * 8
    with pytest.raises(exceptions.NotFound):
        client.get_table(table)
    with pytest.raises(exceptions.NotFound):
        dry("SELECT 1 FROM reviews.nothing")


def test_a_query_that_would_be_billed_more_than_it_may_is_refused(client: bigquery.Client) -> None:
    limits = {10 * 2**20: [(3,)]}
    for limit, expected in limits.items():
        assert query(client, f"SELECT COUNT(id) FROM {DATASET}.rows", maximum_bytes_billed=limit) == expected
    with pytest.raises(exceptions.GoogleAPICallError, match="Query exceeded limit for bytes billed: 1000") as refused:
        query(client, f"SELECT COUNT(id) FROM {DATASET}.rows", maximum_bytes_billed=1000)
    assert refused.value.errors[0]["reason"] == "bytesBilledLimitExceeded"


def test_many_rows_come_in_pages_in_order_by_rest_and_by_the_storage_api(client: bigquery.Client) -> None:
    sql = "SELECT x, [x, x + 1] AS pair FROM UNNEST(GENERATE_ARRAY(1, 100001)) AS x ORDER BY x"
    job = client.query(sql)
    assert [row["x"] for row in job.result(page_size=40_000)] == list(range(1, 100_002))
    arrow = job.to_arrow()
    assert arrow["x"].to_pylist() == list(range(1, 100_002))
    assert arrow["pair"][100_000].as_py() == [100_001, 100_002]


def test_an_uploaded_file_is_loaded(client: bigquery.Client, table: str) -> None:
    def load(content: bytes, **options: Any) -> bigquery.LoadJob:
        config = LoadJobConfig(write_disposition="WRITE_TRUNCATE", **options)
        return client.load_table_from_file(io.BytesIO(content), table, job_config=config).result()

    lines = [{"id": 1, "text": "é", "shingles": [5]}, {"id": 2}]
    client.load_table_from_json(lines, table, job_config=LoadJobConfig(schema=SCHEMA)).result()
    assert rows(client, table) == [(1, "é", [5]), (2, None, [])]
    text = b'number,word\r\n1,"a, b"\r\n2,\r\n'
    assert load(text, source_format="CSV", autodetect=True, skip_leading_rows=1).output_rows == 2
    assert rows(client, table) == [(1, "a, b"), (2, None)]
    load(parquet(TEXTS), source_format="PARQUET", parquet_options=with_lists())
    assert rows(client, table) == [(1, [1, 2], "a"), (2, [], None)]
    with pytest.raises(exceptions.BadRequest, match="Error while reading data"):
        load(b"this is no Parquet", source_format="PARQUET")
    with pytest.raises(exceptions.BadRequest, match="No such field: other"):
        client.load_table_from_json([{"other": 1}], table, job_config=LoadJobConfig(schema=SCHEMA)).result()
    assert client.get_table(table).num_rows == 2


def test_a_large_file_is_uploaded_in_chunks(client: bigquery.Client, table: str) -> None:
    numbers = pa.table({"x": pa.array(range(2_000_000), pa.int64())})
    content = parquet(numbers)
    assert len(content) > 5 * 2**20
    job = client.load_table_from_file(io.BytesIO(content), table, job_config=LoadJobConfig(source_format="PARQUET"))
    assert job.result().output_rows == 2_000_000
    assert query(client, f"SELECT SUM(x) FROM {table}") == [(1_999_999 * 1_000_000,)]


def test_objects_of_cloud_storage_are_loaded(client: bigquery.Client, bucket: str, table: str) -> None:
    folder = storage.Client().bucket(bucket)
    for name in ("data/a/1.parquet", "data/2.parquet", "other/3.parquet"):
        folder.blob(name).upload_from_string(parquet(TEXTS))
    config = LoadJobConfig(source_format="PARQUET", parquet_options=with_lists())
    job = client.load_table_from_uri(f"gs://{bucket}/data/*.parquet", table, job_config=config).result()
    assert (job.output_rows, job.input_files) == (4, 2)
    schema = [(field.name, field.field_type, field.mode) for field in client.get_table(table).schema]
    assert schema == [("id", "INTEGER", "NULLABLE"), ("ids", "INTEGER", "REPEATED"), ("text", "STRING", "NULLABLE")]
    assert sorted(rows(client, table))[::2] == [(1, [1, 2], "a"), (2, [], None)]
    assert (
        client.load_table_from_uri(f"gs://{bucket}/other/3.parquet", table, job_config=config).result().output_rows == 2
    )
    assert client.get_table(table).num_rows == 6
    folder.blob("lines.jsonl").upload_from_string("\n".join(map(json.dumps, ROWS)))
    config = LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=SCHEMA, write_disposition="WRITE_TRUNCATE")
    client.load_table_from_uri(f"gs://{bucket}/lines.jsonl", table, job_config=config).result()
    assert rows(client, table) == [(row["id"], row["text"], row["shingles"]) for row in ROWS]
    for nothing in (f"gs://{bucket}/none/*", "gs://no-such-bucket/x"):
        with pytest.raises(exceptions.NotFound, match="Not found"):
            client.load_table_from_uri(nothing, table, job_config=config).result()


def test_lists_of_parquet_are_arrays_if_the_job_asks_for_it(client: bigquery.Client, bucket: str, table: str) -> None:
    storage.Client().bucket(bucket).blob("t.parquet").upload_from_string(parquet(TEXTS))
    plain = LoadJobConfig(source_format="PARQUET")
    client.load_table_from_uri(f"gs://{bucket}/t.parquet", table, job_config=plain).result()
    field = client.get_table(table).schema[1]
    assert (field.field_type, field.fields[0].name, field.fields[0].fields[0].name) == ("RECORD", "list", "element")
    assert rows(client, table)[0] == (1, {"list": [{"element": 1}, {"element": 2}]}, "a")
    with pytest.raises(exceptions.BadRequest, match="enableListInference"):
        arrays = LoadJobConfig(source_format="PARQUET", schema=[SchemaField("ids", "INTEGER", "REPEATED")])
        client.load_table_from_uri(f"gs://{bucket}/t.parquet", f"{table}_2", job_config=arrays).result()


def test_a_table_is_extracted_to_cloud_storage(client: bigquery.Client, bucket: str) -> None:
    source, objects = f"{DATASET}.rows", storage.Client().bucket(bucket)
    config = ExtractJobConfig(destination_format="PARQUET", compression="SNAPPY")
    client.extract_table(source, f"gs://{bucket}/out/rows-*.parquet", job_config=config).result()
    (blob,) = objects.list_blobs()
    assert blob.name == "out/rows-000000000000.parquet"
    assert pq.read_table(io.BytesIO(blob.download_as_bytes())).to_pylist() == ROWS
    client.extract_table(
        source, f"gs://{bucket}/rows.jsonl", job_config=ExtractJobConfig(destination_format="NEWLINE_DELIMITED_JSON")
    ).result()
    assert [json.loads(line) for line in objects.blob("rows.jsonl").download_as_text().splitlines()] == ROWS
    with pytest.raises(exceptions.NotFound):
        client.extract_table(f"{DATASET}.nothing", f"gs://{bucket}/x").result()


def test_the_same_job_is_not_run_twice(client: bigquery.Client) -> None:
    client.query("SELECT 1", job_id="one-and-only", job_retry=None).result()
    with pytest.raises(exceptions.Conflict, match="Already Exists: Job"):
        client.query("SELECT 2", job_id="one-and-only", job_retry=None)
    with pytest.raises(exceptions.NotFound):
        client.get_job("another")


def test_a_lost_answer_to_an_insertion_is_asked_for_again(client: bigquery.Client, vertex: lifecycle.Running) -> None:
    fault = Fault("bigquery.jobs.insert", "drop", when="after")
    with injection.inject(fault, home=vertex.home) as injected:
        assert query(client, "SELECT 5 AS five") == [(5,)]
    assert injected.hit == 1


def test_what_is_not_emulated_is_refused_by_name(client: bigquery.Client) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="models"):
        list(client.list_models(DATASET))
    with pytest.raises(exceptions.MethodNotImplemented, match="AVRO"):
        config = ExtractJobConfig(destination_format="AVRO")
        client.extract_table(f"{DATASET}.rows", "gs://bucket/x", job_config=config).result()


def test_googles_pipeline_component_runs_a_query(client: bigquery.Client, pipeline_job: aiplatform.PipelineJob) -> None:
    while pipeline_job.state.name not in ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"):
        time.sleep(0.1)
    details = {detail.task_name: detail for detail in pipeline_job.gca_resource.job_detail.task_details}
    succeeded, failed = details["bigquery-query-job"], details["fails"]
    assert (succeeded.state.name, failed.state.name) == ("SUCCEEDED", "FAILED")
    assert sorted(rows(client, f"{DATASET}.from_pipeline")) == [(2,), (3,)]
    (artifact,) = succeeded.outputs["destination_table"].artifacts
    assert artifact.schema_title == "google.BQTable"
    assert artifact.metadata["tableId"] == "from_pipeline"
    (resource,) = json.loads(succeeded.execution.metadata["output:gcp_resources"])["resources"]
    assert resource["resourceUri"].startswith("https://www.googleapis.com/bigquery/v2/projects/local-project/jobs/")
    job = client.get_job(resource["resourceUri"].rpartition("/")[2].partition("?")[0])
    assert (job.location, job.state) == ("europe-west4", "DONE")
