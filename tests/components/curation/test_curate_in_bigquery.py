"""Curation in BigQuery through Google's own client: the rows that go are those that go on this machine.

The emulator of BigQuery is DuckDB inside: this shows that the statements are accepted and what they do there, not that
BigQuery agrees.
"""

import random
import uuid

import pyarrow
import pytest
from google.cloud import aiplatform, bigquery, storage
from kfp import compiler, dsl
from kfp.dsl import Dataset, Output

from seatrial.components import curate_bigquery, load_bigquery, prepare_text
from seatrial.components.artifacts import TableStream, write_table
from seatrial.components.curation.bigquery_engine import bigquery_engine, load_parquet
from seatrial.components.curation.curate_in_bigquery import curate_in_bigquery, destination_parts, table_name
from seatrial.components.curation.prepare import Preparation
from seatrial.components.curation.select_rows import OPERATIONS
from seatrial.components.curation.text_rules import TextRules
from seatrial.components.runtime import InputError

from .curated import curated
from .test_googlesql import CONSTRUCTS, OTHER, PARAMETERS, ROWS

PROJECT, DATASET = "local-project", "curation"
LIMITS = {"maximum_gibibytes": 1.0, "usd_per_tebibyte": 6.25}


@pytest.fixture(scope="module")
def client(vertex) -> bigquery.Client:
    client = bigquery.Client(project=PROJECT)
    client.create_dataset(DATASET)
    return client


@pytest.fixture
def destination() -> str:
    return f"{PROJECT}.{DATASET}.t{uuid.uuid4().hex[:8]}"


def corpus(rows: int, seed: int) -> pyarrow.Table:
    chance = random.Random(seed)
    texts: list[str] = []
    while len(texts) < rows:
        words = [f"wörd{chance.randrange(300)}" for _ in range(chance.randrange(1, 20))]
        if texts and chance.random() < 0.3:
            words = chance.choice(texts).split()
            words[chance.randrange(len(words))] = chance.choice(["tea", words[0]])
        texts.append(" ".join(words))
    return pyarrow.table(
        {
            "row_id": [f"row-{number}" for number in range(rows)],
            "split": pyarrow.nulls(rows, pyarrow.string()),
            "review": texts,
            "stars": [chance.choice("ab") for _ in texts],
            "price": [chance.random() for _ in texts],
            "product": [f"p{chance.randrange(rows // 4)}" for _ in texts],
        }
    )


def prepared_folder(path, table: pyarrow.Table, rules: TextRules) -> None:
    write_table(path / "source", table, metadata={})
    schema, batches = Preparation(TableStream(path / "source"), rules).whole_batches()
    write_table(path / "prepared", pyarrow.Table.from_batches(batches, schema), metadata={})


def load(client, bucket: str, path, destination: str) -> None:
    for file in (path / "prepared").glob("*.parquet"):
        storage.Client().bucket(bucket).blob(f"{destination}/{file.name}").upload_from_filename(str(file))
    load_parquet(client, f"gs://{bucket}/{destination}", destination)


def test_every_construct_on_the_list_is_accepted_and_gives_the_documented_result(client):
    for name, table in (("rows", ROWS), ("other", OTHER)):
        client.load_table_from_json(_json_rows(table), f"{DATASET}.{name}", job_config=_schema(table)).result()
    with bigquery_engine(client, f"{PROJECT}.{DATASET}", **LIMITS) as engine:
        for name in ("rows", "other"):
            engine.attach(name, f"{PROJECT}.{DATASET}.{name}")
        for sql, expected in CONSTRUCTS.items():
            assert sorted(engine.rows(sql, PARAMETERS), key=repr) == sorted(expected, key=repr), sql


def _json_rows(table: pyarrow.Table) -> list[dict]:
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def _schema(table: pyarrow.Table) -> bigquery.LoadJobConfig:
    kinds = {"int64": "INT64", "string": "STRING", "double": "FLOAT64", "bool": "BOOL"}
    fields = [
        bigquery.SchemaField(field.name, "INT64", mode="REPEATED")
        if pyarrow.types.is_list(field.type)
        else bigquery.SchemaField(field.name, kinds[str(field.type)])
        for field in table.schema
    ]
    return bigquery.LoadJobConfig(
        schema=fields, source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_TRUNCATE"
    )


def test_the_same_rows_go_for_the_same_reasons_as_on_this_machine(client, bucket, destination, tmp_path):
    rules = TextRules("review", "stars", group_column="product", maximum_class_ratio=1.05)
    table = corpus(500, seed=1)
    benchmark, earlier = table.slice(0, 20), curated(table.slice(20, 60), rules, version="v0").fingerprints
    for name, content in (("rows", table), ("benchmark", benchmark)):
        prepared_folder(tmp_path / name, content, rules)
        load(client, bucket, tmp_path / name, f"{destination}_{name}_prepared")
    write_table(tmp_path / "known" / "prepared", earlier, metadata={})
    load(client, bucket, tmp_path / "known", f"{destination}_known")

    counts = curate_in_bigquery(
        client,
        f"{destination}_rows_prepared",
        destination,
        TextRules("text", "label", group_column="group_key", maximum_class_ratio=1.05),
        known=f"{destination}_known",
        benchmark=f"{destination}_benchmark_prepared",
        version="v1",
        **LIMITS,
    )

    here = curated(table, rules, known=earlier, benchmark=benchmark)
    assert {name: counts[name] for name in OPERATIONS} == {name: here.counts[name] for name in OPERATIONS}
    assert sum(counts[name] > 0 for name in OPERATIONS) >= 8
    outputs = {"ledger": here.ledger, "train": here.train, "test": here.test, "fingerprints": here.fingerprints}
    for name, expected in outputs.items():
        found = client.query(f"SELECT * FROM `{destination}_{name}` ORDER BY row_id, 2").to_arrow()
        assert found.column_names == expected.column_names
        order = [("row_id", "ascending"), (expected.column_names[1], "ascending")]
        assert found.to_pylist() == expected.sort_by(order).to_pylist()
    assert counts["bytes_read"] > 0
    left = [table.table_id for table in client.list_tables(DATASET)]
    assert not [name for name in left if name.startswith("seatrial_")]


def test_a_run_that_would_read_more_than_the_limit_is_refused_before_it_reads(client, bucket, destination, tmp_path):
    rules = TextRules("review", "stars")
    prepared_folder(tmp_path, corpus(200, seed=2), rules)
    load(client, bucket, tmp_path, f"{destination}_prepared")

    with pytest.raises(InputError, match=r"reference would read [\d,]+ bytes .* maximum_gibibytes allows 1,073"):
        curate_in_bigquery(
            client,
            f"{destination}_prepared",
            destination,
            TextRules("text", "label"),
            version="v1",
            maximum_gibibytes=1e-6,
            usd_per_tebibyte=6.25,
        )

    assert f"{destination}_train" not in [str(table.reference) for table in client.list_tables(DATASET)]


def test_what_is_missing_is_named(client, destination):
    with pytest.raises(InputError, match="The table local-project.curation.t.*_nothing: .*Create what is missing"):
        curate_in_bigquery(client, f"{destination}_nothing", destination, TextRules("text"), version="v", **LIMITS)
    with pytest.raises(InputError, match="Loading gs://no-bucket/x into"):
        load_parquet(client, "gs://no-bucket/x", f"{destination}_x")
    with pytest.raises(InputError, match="destination is 'reviews'; expected PROJECT.DATASET.NAME"):
        destination_parts("reviews")
    with pytest.raises(InputError, match="expected projectId, datasetId and tableId"):
        table_name(dsl.Artifact(name="prepared", uri="", metadata={}))


@dsl.component(install_kfp_package=False)
def write_rows(table: Output[Dataset]) -> None:
    import pyarrow

    from seatrial.components.artifacts import write_table

    rows = {"review": ["good tea", "good tea", "bad coffee", "fine cup"], "stars": ["a", "a", "b", "a"]}
    columns = {"row_id": list("0123"), "split": ["train", "train", "train", "test"], **rows}
    write_table(table.path, pyarrow.table(columns), metadata={})


@dsl.pipeline(name="curate-in-bigquery")
def curate_rows(project: str, destination: str):
    prepared = prepare_text(table=write_rows().output, text_column="review", label_column="stars")
    loaded = load_bigquery(table=prepared.outputs["prepared"], project=project, destination=f"{destination}_prepared")
    curate_bigquery(prepared=loaded.outputs["loaded"], project=project, destination=destination)


def test_the_components_run_in_a_pipeline(client, bucket, destination, tmp_path):
    compiler.Compiler().compile(curate_rows, str(tmp_path / "pipeline.yaml"))
    job = aiplatform.PipelineJob(
        display_name="curate",
        template_path=str(tmp_path / "pipeline.yaml"),
        pipeline_root=f"gs://{bucket}",
        parameter_values={"project": PROJECT, "destination": destination},
        project=PROJECT,
        location="us-central1",
    )
    job.submit()
    job.wait()

    [entry] = client.query(f"SELECT * FROM `{destination}_ledger`").result()
    assert tuple(entry.values()) == ("1", "exact_duplicates", "identical as written", "0")
