"""The components of curation: from a source to clean tables and conversations, with a reason for every row."""

from google_cloud_pipeline_components.types.artifact_types import BQTable
from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from ..images import image


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def resolve_source(train_uri: str, test_uri: str = "") -> list:
    """Lists the objects of Cloud Storage that are the source, with the generation each has now.

    A pipeline must not cache this task: the URIs stay the same while objects come and go. Later tasks can be cached,
    since they get exact generations.

    Args:
        train_uri: An object (`gs://bucket/reviews.csv`), a folder with all below it (`gs://bucket/reviews`; names that
            begin with `_` or `.` hold no data), or a pattern (`gs://bucket/reviews/*.parquet`; `*`, `?` and `[…]` stay
            within one folder level). Formats by extension: .parquet, .csv (with a header line), .jsonl.
        test_uri: The same for test data. Empty: `curate_text` splits the data.

    Returns:
        One entry an object, sorted by split and URI: `{"uri", "generation", "split", "format"}`. `split` is "train" or
        "test", or "" when no `test_uri` is given.

    Raises:
        InputError: If a URI does not begin with gs://, its bucket does not exist or may not be read, nothing matches
            it, an object has another extension or 0 bytes, or both URIs name one object.
    """
    from google.cloud.storage import Client

    from seatrial.components.curation.source import resolve
    from seatrial.components.runtime import task

    with task("resolve_source"):
        return resolve(Client(), train_uri, test_uri)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def ingest_table(
    source: list,
    table: Output[Dataset],
    metrics: Output[Metrics],
    schema: dict = {},  # noqa: B006
) -> None:
    """Reads the objects of a source into one table.

    Args:
        source: What `resolve_source` returned. Exactly these generations are read.
        schema: Column → Arrow type, such as `{"postcode": "string"}`, for columns whose type is not left to the files:
            in CSV types are inferred, which makes 7 of 007. Other types: "int64", "double", "bool", "date32",
            "timestamp[us]" and all that `pyarrow.type_for_alias` knows. Values that do not fit are an error.
        table: The objects' columns and rows, with `row_id` (`train-0-17`: split, object, row; unique, and the same for
            the same source) and `split` ("train", "test" or null).
        metrics: `rows`, `columns`, `objects`.

    Raises:
        InputError: If an object was replaced or deleted since it was resolved, is corrupt, is not UTF-8, has no rows,
            rows of unequal length or a line that is no JSON object, has a column called `row_id` or `split`, differs
            from the others in its columns or their types, or does not fit `schema`.
    """
    from google.cloud.storage import Client

    from seatrial.components.artifacts import describe, describe_metrics, write_table
    from seatrial.components.curation.ingest import ingest
    from seatrial.components.runtime import task

    with task("ingest_table"):
        manifest = write_table(table.path, ingest(Client(), source, schema), metadata={})
        describe(table, manifest, source=source, schema=schema)
        rows, columns = manifest.metadata["rows"], manifest.metadata["columns"]
        values = {"rows": rows, "columns": len(columns), "objects": len(source)}
        describe_metrics(metrics, values, f"{rows:,} rows")


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def curate_text(
    table: Input[Dataset],
    train: Output[Dataset],
    test: Output[Dataset],
    ledger: Output[Dataset],
    edits: Output[Dataset],
    fingerprints: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
    text_column: str,
    label_column: str = "",
    labels: list = [],  # noqa: B006
    minimum_characters: int = 1,
    maximum_characters: int = 100_000,
    languages: list = [],  # noqa: B006
    remove_boilerplate: bool = True,
    personal_data: list = ["email", "phone", "card", "iban"],  # noqa: B006
    entity_model: str = "",
    label_conflicts: str = "majority",
    near_duplicate_threshold: float = 0.7,
    order_by: str = "",
    group_column: str = "",
    time_column: str = "",
    test_from: str = "",
    test_share: float = 0.2,
    split_seed: int = 0,
    maximum_class_ratio: float = 0.0,
    version: str = "",
    known: Input[Dataset] = None,
    benchmark: Input[Dataset] = None,
) -> None:
    """Cleans texts and removes what must not be trained or tested on, with a ledger of every removed row.

    Row by row: lines that many texts share go (signatures, banners); HTML tags and character references, control and
    invisible characters, Unicode NFC and whitespace are cleaned; personal data is redacted. Then the rows are split, if
    the source has no split, and removed, in this order: texts that are empty, too short, too long or in another
    language; test rows of a group that is in train; rows whose label contradicts that of the same text; repetitions of
    an earlier text within each split; texts of earlier versions; train texts that are in a benchmark; train texts that
    nearly repeat an earlier one that is kept; test rows whose text is, or nearly is, in train; the surplus of frequent
    labels. Of repeated rows the first is kept.

    Args:
        table: What `ingest_table` wrote, or a table folder like it: `row_id`, `split`, the columns named below.
        text_column: Column with the text.
        label_column: Column with the label: text, numbers or booleans. Empty: the rows have no label.
        labels: The labels that may occur; empty: any.
        minimum_characters: Length of the shortest cleaned text that is kept; an empty one never is.
        maximum_characters: Length of the longest cleaned text that is kept.
        languages: ISO 639-1 codes of the languages that are kept, such as ["en", "de"]; empty: all. A text goes if
            another language is as likely as not (0.5); short ones, whose language cannot be told, are kept.
        remove_boilerplate: Whether lines of three words or more go that are in 20 texts and in 1 % of the rows.
        personal_data: Kinds that are redacted ("[EMAIL]"): "email", "phone", "card" (with the Luhn checksum), "iban"
            (with its checksum), and with `entity_model` "name" and "address".
        entity_model: The spaCy model, installed as a package, with which Presidio (extra `pii`) finds names and
            addresses, at some 200 rows a second.
        label_conflicts: Which rows of one text with several labels are kept: those of the strict "majority" (none
            without one), none ("remove"), or the "first" row.
        near_duplicate_threshold: Jaccard similarity of two texts' sets of three-word shingles (case and punctuation do
            not count) from which they are near duplicates; up to 1, where only texts with the same shingles are. With
            0.7, two texts of 20 words are near duplicates if one word differs, and not if two do. No two train texts of
            this similarity are left, nor a test text with a train text.
        order_by: Column that says which of equal rows is the first: its smallest value, or its largest with a minus
            ("-date"). Empty: the order of the source.
        group_column: Rows with one value are on one side of the split, such as a product's reviews.
        time_column: Dates or times; where the source gives no split, the newest rows are tested on.
        test_from: First time of the test rows, such as 2026-01-31T12:00:00Z; empty: the newest `test_share` of them.
        test_share: Share of the groups, or of the distinct texts, that go to test, above 0 and below 1, where the
            source gives no split.
        split_seed: Seed of that split. A hash decides, so rows do not move when others come or go.
        maximum_class_ratio: How many times as many train rows as the rarest a label may have; 0: any number.
        version: What this version is called in later ledgers; empty: the first digits of the table's digest.
        known: The output `fingerprints` of an earlier accepted version, whose texts are removed here.
        benchmark: A table with `row_id` and the text column; no train row may have one of its texts.
        train: `row_id`, `text` (cleaned), `label` (all string), and the table's other columns unchanged.
        test: The same columns.
        ledger: One row for every removed row: `row_id`, `operation` (named as in `metrics`), `reason`, `related_row_id`
            (the row that it repeats or contradicts, or null; where that was removed too, its own entry leads on to a
            kept row). Rows in = train + test + ledger.
        edits: `row_id`, `operation` ("boilerplate", "redacted_email" …) and `count`, of each row that was changed
            beyond cleaning, whether or not it was removed later.
        fingerprints: Of this version's rows and of those in `known`: hashes, no text.
        report: One HTML page: removals by reason with examples, changed texts, labels and lengths before and after,
            clusters of near duplicates.
        metrics: `rows_in`, `rows_out`, `train_rows`, `test_rows`, and rows removed by each operation: `empty_texts`,
            `too_short`, `too_long`, `other_languages`, `straddling_groups`, `label_conflicts`, `exact_duplicates` (the
            same text as written), `cleaned_duplicates` (the same once cleaned), `known_texts`, `near_known_texts`,
            `benchmark_texts`, `near_benchmark_texts`, `near_duplicates`, `leaked_test_rows` (the text of a train row),
            `near_leaked_test_rows`, `class_balance`; `relabelled_duplicates`, those of them that bear another label
            than the row they repeat; `clusters` and `largest_cluster` of near duplicates; rows changed: `boilerplate`,
            `redacted_email` and so on.

    Raises:
        InputError: If a parameter is out of range, a column is missing, a label is missing or not in `labels` (all
            checked before any work), a split is empty in the end, or train has one label only.
    """
    from seatrial.components.artifacts import (
        SCHEMA_VERSION,
        TableStream,
        describe,
        describe_metrics,
        write_batches,
        write_text,
    )
    from seatrial.components.curation.curate import curate
    from seatrial.components.curation.fingerprints import FINGERPRINTS_SCHEMA, FORMAT, check_fingerprints
    from seatrial.components.curation.report import render
    from seatrial.components.curation.summary import summarise
    from seatrial.components.curation.text_rules import TextRules
    from seatrial.components.runtime import task

    with task("curate_text"):
        parameters: dict = {
            "text_column": text_column,
            "label_column": label_column,
            "labels": labels,
            "minimum_characters": minimum_characters,
            "maximum_characters": maximum_characters,
            "languages": languages,
            "remove_boilerplate": remove_boilerplate,
            "personal_data": personal_data,
            "entity_model": entity_model,
            "label_conflicts": label_conflicts,
            "near_duplicate_threshold": near_duplicate_threshold,
            "order_by": order_by,
            "group_column": group_column,
            "time_column": time_column,
            "test_from": test_from,
            "test_share": test_share,
            "split_seed": split_seed,
            "maximum_class_ratio": maximum_class_ratio,
        }
        rules = TextRules(**parameters)
        source = TableStream(table.path)
        known_table = TableStream(known.path) if known else None
        benchmark_table = TableStream(benchmark.path) if benchmark else None
        name = version or source.manifest.digest[:12]
        versions = [*(check_fingerprints(known_table) if known_table else []), name]
        with curate(source, rules, known=known_table, benchmark=benchmark_table) as curated:
            for split, artifact in (("train", train), ("test", test)):
                manifest = write_batches(artifact.path, curated.schema, curated.split(split), metadata={})
                describe(artifact, manifest, **parameters)
            removed, changed = curated.ledger(), curated.edited()
            describe(ledger, write_batches(ledger.path, removed.schema, removed, metadata={}), **parameters)
            describe(edits, write_batches(edits.path, changed.schema, changed.to_batches(), metadata={}), **parameters)
            facts = {"fingerprint_format": FORMAT, "versions": versions}
            accepted = curated.fingerprints(known_table, name)
            manifest = write_batches(fingerprints.path, FINGERPRINTS_SCHEMA, accepted, metadata=facts)
            describe(fingerprints, manifest, **parameters)
            counts = curated.counts
            write_text(report.path, render(counts, summarise(curated), curated.edits, rules))
        for artifact in (report, metrics):
            artifact.metadata.update({"schema_version": SCHEMA_VERSION, "parameters": parameters})
        describe_metrics(metrics, counts, f"{counts['train_rows']:,} train, {counts['test_rows']:,} test rows")


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def profile_table(
    table: Input[Dataset],
    profile: Output[Artifact],
    rules: Output[Artifact],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Measures every column of a table, and infers the rules that tables like it keep.

    Args:
        table: What `ingest_table` wrote, or the valid rows of `validate_table`. `row_id` and `split` are left out.
        profile: JSON: type, nulls, different values, statistics by kind (of numbers the quantiles, of texts the lengths
            …), histogram, most frequent values, and the bins that `validate_table` measures drift by. NaN and
            infinities are counted and in no other number; integers and decimals are exact.
        rules: YAML for `validate_table`, to be read and edited: types, nulls, ranges with room, allowed values of texts
            with few, lengths, keys, drift. The table itself keeps them all.
        report: One HTML page: what is worth a look (constant, nearly unique or mostly null columns, values that may
            stand for nothing, white space at an end, numbers mixed with texts), then each column with its plots.
        metrics: `rows`, `columns`, `problems`.

    Raises:
        InputError: If the table has no rows, or is no output of `ingest_table`.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION, describe_metrics, read_table, write_json, write_text
    from seatrial.components.curation import infer_rules, profile_page
    from seatrial.components.curation import profile as measure
    from seatrial.components.runtime import task

    with task("profile_table"):
        found = measure.profile(read_table(table.path))
        write_json(profile.path, found)
        write_text(rules.path, infer_rules.infer_rules(found))
        write_text(report.path, profile_page.profile_page(found))
        rows, columns = found["rows"], found["columns"].values()
        for artifact in (profile, rules, report):
            artifact.metadata.update(schema_version=SCHEMA_VERSION, rows=rows, columns=len(columns))
        values = {"rows": rows, "columns": len(columns), "problems": sum(len(entry["problems"]) for entry in columns)}
        describe_metrics(metrics, values, f"{values['problems']:,} problems in {len(columns):,} columns")


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def validate_table(
    table: Input[Dataset],
    rules: Input[Artifact],
    valid: Output[Dataset],
    quarantine: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
    accepted_profile: Input[Artifact] = None,
    now: str = "",
) -> None:
    """Checks a table by rules: rows that break one go to quarantine, and a table that breaks one of its own is refused.

    Rules of rows: type, nullable, range, length, pattern (RE2), allowed values, unique. Rules of the table, of the rows
    that are left: columns that must be there or must not, number of rows, shares of nulls and of quarantined rows,
    freshness, drift. `components/curation/rules.py` documents the file and what counts as a null.

    A refused table fails the task, with all that is wrong in one message; quarantine, report and metrics are written
    whole before, and the message says where. No valid rows are written then.

    Args:
        table: What `ingest_table` wrote.
        rules: A YAML file, such as `profile_table` infers; `dsl.importer` brings one from Cloud Storage.
        valid: The rows that break no rule, unchanged but for the types: those of the rules, where the table has texts
            for numbers, booleans, dates or times.
        quarantine: The other rows as they came, once each, with `operation` ("validate_table"), `rule` (the first that
            the row breaks, in the order of the file: `price.range`), `reason` (its value, and what was expected),
            `related_row_id` (the row that it repeats, or null) and `rules` (all that it breaks). Rows in = valid +
            quarantine.
        report: One HTML page: what was checked, how many rows broke each rule, with examples, and the drift.
        metrics: `rows_in`, `rows_valid`, `rows_quarantined`, `table_breaks` (rules of the table that are broken), and
            for each rule of rows `broken[RULE]`.
        accepted_profile: The `profile_table` profile of the last table that was accepted; without it drift is not
            checked, and the report says so.
        now: The time that freshness is measured from, in ISO 8601, in UTC if it names no zone. Empty: the present;
            then a pipeline must not cache this task.

    Raises:
        InputError: If the rules are no such file, the table breaks rules of the whole table, or an input is not what it
            should be, such as a profile of another version.
    """
    from pathlib import Path

    from seatrial.components.artifacts import (
        SCHEMA_VERSION,
        describe,
        describe_metrics,
        file_sha256,
        read_table,
        write_table,
        write_text,
    )
    from seatrial.components.curation.profile import read_profile
    from seatrial.components.curation.rules import read_rules
    from seatrial.components.curation.validate import check_accepted, time_of, validate
    from seatrial.components.curation.validation_page import validation_page
    from seatrial.components.runtime import task

    with task("validate_table"):
        read = read_rules(rules.path)
        accepted = read_profile(accepted_profile.path) if accepted_profile else None
        validated = validate(read_table(table.path), read, accepted, time_of(now))
        parameters = {"rules_digest": file_sha256(Path(rules.path)), "now": now}
        describe(quarantine, write_table(quarantine.path, validated.quarantine, metadata={}), **parameters)
        write_text(report.path, validation_page(validated, read))
        report.metadata.update(schema_version=SCHEMA_VERSION, parameters=parameters)
        counts = validated.counts
        headline = f"{counts['rows_valid']:,} valid, {counts['rows_quarantined']:,} quarantined rows"
        describe_metrics(metrics, counts, headline)
        check_accepted(validated, report.uri, quarantine.uri)
        describe(valid, write_table(valid.path, validated.valid, metadata={}), **parameters)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def render_prompts(
    train: Input[Dataset],
    train_conversations: Output[Dataset],
    test_conversations: Output[Dataset],
    ledger: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
    prompt_template: str,
    test: Input[Dataset] = None,  # how KFP marks an optional input
    tokenizer: Input[Model] = None,
    response_template: str = "{{ label }}",
    system_template: str = "",
    shots: int = 0,
    shots_seed: int = 0,
    near_threshold: float = 0.7,
    maximum_tokens: int = 131_072,
) -> None:
    """Turns curated rows into conversations to tune a language model with, in the format of Gemini on Vertex AI.

    Templates are Jinja, in a sandbox and a process with limits of memory and time: they read no files and no inner
    attributes. `{{ text }}` is a column, `row` all columns, `shots` the examples, each with all columns. Rows are data
    and never read as templates. What has no place in a prompt is an error: an unknown column, null, a list. Lines that
    hold only a `{% … %}` leave no line.

    Examples (few-shot) stand in the prompt or the system instruction, where the template has `{% for shot in shots %}`,
    and not as earlier turns of the conversation: of each turn of the model a tuning job makes a record to learn. They
    are the same in all prompts, so that servers can cache these, but a row never sees its own text: the next row of the
    same label takes the place. Labels take turns; a hash of the text decides within a label; texts of more than twice
    the median length are left out. No train row is shown that equals or nearly equals a test row.

    Removed are rows whose prompt or response is empty, that have too many tokens, that repeat the prompt and response
    of an earlier row, and test rows whose prompt is that of a train row (as when a template shortens the text). Prompts
    with several responses stay, and are counted and named in the report: they teach noise.

    Args:
        train: What `curate_text` wrote, or a table like it: `row_id`, `text`, mostly `label` (all string), any others.
        test: The same for test; left out, no test conversation is written and overlap is not checked.
        tokenizer: A model as `ingest_model` writes it, to count tokens with; left out, tokens are estimated as 4
            characters each, Google's rule of thumb for English.
        prompt_template: What the user says. It must use a column, and cannot use `label`, the answer.
        response_template: What the model is to answer.
        system_template: The system instruction; empty: none. It cannot use `label` either.
        shots: How many examples a prompt has, at most 100.
        shots_seed: Another seed gives other examples.
        near_threshold: Jaccard similarity of the sets of three-word shingles from which a train row nearly equals a
            test row.
        maximum_tokens: Most tokens of a conversation, 0 for any number. The default is the documented limit of
            supervised tuning of Gemini 2.5, which drops longer ones.
        train_conversations: A folder with `conversations.jsonl`, in the order of the rows: `systemInstruction` (if any)
            and `contents`, the turns of "user" and "model". Its metadata: rows, tokens, digests of templates, shots.
        test_conversations: The same for test, empty without test.
        ledger: One row for every removed row: `row_id`, `operation`, `reason`, `related_row_id`. Rows in =
            conversations + ledger.
        report: One HTML page: an example as the model sees it, tokens, labels, removals, the examples in prompts, the
            check for test rows.
        metrics: `rows_in`, `train_conversations`, `test_conversations`; of all conversations `tokens_total`,
            `tokens_p50`, `tokens_p95`, `tokens_max`; rows removed by each operation: `empty_prompt`, `empty_response`,
            `too_many_tokens`, `duplicate_prompt`, `leaked_prompt`; `conflicting_prompts`, train rows whose prompt is
            there with another response; `train_rows_near_test`.

    Raises:
        InputError: If a parameter is out of range, a template is wrong or goes over its limits, a table lacks a column,
            a test row is in train by its row_id or text, there are too few rows to show, or no train conversation is
            left.
    """
    from seatrial.components.artifacts import (
        SCHEMA_VERSION,
        describe,
        describe_metrics,
        peek_manifest,
        write_table,
        write_text,
    )
    from seatrial.components.curation.prompts import PromptRules, render_conversations
    from seatrial.components.curation.prompts_page import prompts_page
    from seatrial.components.runtime import task

    with task("render_prompts"):
        parameters: dict = {
            "prompt_template": prompt_template,
            "response_template": response_template,
            "system_template": system_template,
            "shots": shots,
            "shots_seed": shots_seed,
            "near_threshold": near_threshold,
            "maximum_tokens": maximum_tokens,
        }
        rules = PromptRules(**parameters)
        rendered = render_conversations(
            train.path,
            test.path if test else None,
            tokenizer.path if tokenizer else None,
            rules,
            {"train": train_conversations.path, "test": test_conversations.path},
        )
        for artifact in (train_conversations, test_conversations):
            describe(artifact, peek_manifest(artifact.path, kind="conversations"), **parameters)
        describe(ledger, write_table(ledger.path, rendered.ledger, metadata={}), **parameters)
        write_text(report.path, prompts_page(rendered, rules))
        for artifact in (report, metrics):
            artifact.metadata.update({"schema_version": SCHEMA_VERSION, "parameters": parameters})
        counts = rendered.counts
        headline = f"{counts['train_conversations']:,} train, {counts['test_conversations']:,} test conversations"
        describe_metrics(metrics, counts, headline)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def transform_table(
    table: Input[Dataset], sql: str, transformed: Output[Dataset], ledger: Output[Dataset], metrics: Output[Metrics]
) -> None:
    """Runs a statement of your own on a table, between two steps of curation.

    Args:
        table: A table folder with `row_id` and `split`.
        sql: One SELECT in GoogleSQL from the table `source`, which selects `row_id` and `split` and each row at most
            once: `SELECT * FROM source WHERE LENGTH(review) > 20`. It may use what docs/curation.md lists, which means
            the same in BigQuery, and reaches no file and no network.
        transformed: What it selects, in the order of the table.
        ledger: `row_id`, `operation`, `reason`, `related_row_id` of each row that it does not select.
        metrics: `rows_in`, `rows_out`.

    Raises:
        InputError: If the statement is not one SELECT, uses anything else, fails, or selects a row twice.
    """
    from seatrial.components.artifacts import TableStream, describe, describe_metrics, write_batches
    from seatrial.components.curation.transform import transform
    from seatrial.components.runtime import task

    with task("transform_table"):
        source = TableStream(table.path)
        with transform(source, sql) as result:
            selected, left_out = result.selected(), result.ledger()
            manifest = write_batches(transformed.path, selected.schema, selected, metadata={})
            describe(transformed, manifest, sql=sql)
            describe(ledger, write_batches(ledger.path, left_out.schema, left_out, metadata={}), sql=sql)
        rows = manifest.metadata["rows"]
        describe_metrics(metrics, {"rows_in": source.rows, "rows_out": rows}, f"{rows:,} of {source.rows:,} rows")


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def prepare_text(
    table: Input[Dataset],
    prepared: Output[Dataset],
    edits: Output[Dataset],
    metrics: Output[Metrics],
    text_column: str,
    label_column: str = "",
    labels: list = [],  # noqa: B006
    maximum_characters: int = 100_000,
    languages: list = [],  # noqa: B006
    remove_boilerplate: bool = True,
    personal_data: list = ["email", "phone", "card", "iban"],  # noqa: B006
    entity_model: str = "",
    order_by: str = "",
    group_column: str = "",
    time_column: str = "",
) -> None:
    """The half of `curate_text` that looks at one row at a time, for a curation in BigQuery: nothing is removed.

    Args:
        table: As in `curate_text`.
        text_column: As in `curate_text`, and so are the parameters below.
        label_column: Column with the label.
        labels: The labels that may occur.
        maximum_characters: Longer texts, which `curate_bigquery` removes if it is told the same, are cut.
        languages: The languages that will be kept; empty: languages are not told.
        remove_boilerplate: Whether lines go that many rows share.
        personal_data: Kinds that are redacted.
        entity_model: The spaCy model for names and addresses.
        order_by: Column that says which of equal rows is the first.
        group_column: Rows with one value are on one side of the split.
        time_column: Dates or times to split by.
        prepared: `row_id`, `split`, `text`, `label`, the columns that `curate_bigquery` compares, the other columns.
        edits: As in `curate_text`.
        metrics: `rows`, and rows changed by each edit.

    Raises:
        InputError: As in `curate_text`, or if another column has the name of an added one.
    """
    from seatrial.components.artifacts import TableStream, describe, describe_metrics, write_batches
    from seatrial.components.curation.prepare import EDITS_SCHEMA, Preparation
    from seatrial.components.curation.text_rules import TextRules
    from seatrial.components.runtime import task

    with task("prepare_text"):
        parameters: dict = {
            "text_column": text_column,
            "label_column": label_column,
            "labels": labels,
            "maximum_characters": maximum_characters,
            "languages": languages,
            "remove_boilerplate": remove_boilerplate,
            "personal_data": personal_data,
            "entity_model": entity_model,
            "order_by": order_by,
            "group_column": group_column,
            "time_column": time_column,
        }
        rules = TextRules(**parameters)
        source = TableStream(table.path)
        preparation = Preparation(source, rules)
        schema, batches = preparation.whole_batches()
        describe(prepared, write_batches(prepared.path, schema, batches, metadata={}), **parameters)
        changed = write_batches(edits.path, EDITS_SCHEMA, preparation.edits.batches, metadata={})
        describe(edits, changed, **parameters)
        values = {"rows": source.rows, **preparation.edits.counts(rules)}
        describe_metrics(metrics, values, f"{source.rows:,} rows")


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def load_bigquery(table: Input[Dataset], project: str, destination: str, loaded: Output[BQTable]) -> None:
    """Loads a table folder from Cloud Storage into BigQuery; no row passes through this task.

    Args:
        table: A table folder, such as `prepare_text` writes.
        project: Project whose BigQuery does the work.
        destination: PROJECT.DATASET.TABLE; replaced if it is there. The dataset has to exist.
        loaded: The table.

    Raises:
        InputError: If the dataset does not exist, or BigQuery cannot load the files.
    """
    from google.cloud.bigquery import Client

    from seatrial.components.artifacts import SCHEMA_VERSION, read_manifest
    from seatrial.components.curation.bigquery_engine import load_parquet
    from seatrial.components.curation.curate_in_bigquery import describe_table, destination_parts
    from seatrial.components.runtime import task

    with task("load_bigquery"):
        destination_parts(destination)
        manifest = read_manifest(table.path, kind="table")
        rows = load_parquet(Client(project=project), table.uri, destination)
        facts = {"schema_version": SCHEMA_VERSION, "digest": manifest.digest, "headline": f"{rows:,} rows"}
        describe_table(loaded, destination, rows=rows, **facts)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def curate_bigquery(
    prepared: Input[BQTable],
    train: Output[BQTable],
    test: Output[BQTable],
    ledger: Output[BQTable],
    fingerprints: Output[BQTable],
    metrics: Output[Metrics],
    project: str,
    destination: str,
    has_labels: bool = True,
    minimum_characters: int = 1,
    maximum_characters: int = 100_000,
    languages: list = [],  # noqa: B006
    label_conflicts: str = "majority",
    near_duplicate_threshold: float = 0.7,
    split_by_time: bool = False,
    test_from: str = "",
    test_share: float = 0.2,
    split_seed: int = 0,
    maximum_class_ratio: float = 0.0,
    version: str = "",
    maximum_gibibytes: float = 100.0,
    usd_per_tebibyte: float = 6.25,
    known: Input[BQTable] = None,
    benchmark: Input[BQTable] = None,
) -> None:
    """The half of `curate_text` that compares rows, in BigQuery: the very rows go that go there, for the same reasons.

    Tables in, tables out: no row passes through this task. Each statement is a dry run first, which is logged with its
    bytes and the cost so far.

    Args:
        prepared: What `prepare_text` wrote, loaded by `load_bigquery`; a statement of your own may come in between.
        project: Project whose BigQuery does the work.
        destination: PROJECT.DATASET.PREFIX: the tables PREFIX_train, _test, _ledger and _fingerprints are replaced. The
            dataset has to exist; scratch tables in it are deleted, and expire in a day if the task is killed.
        has_labels: Whether the column `label` counts.
        minimum_characters: As in `curate_text`, and so are the parameters below.
        maximum_characters: As in `prepare_text`.
        languages: As in `prepare_text`.
        label_conflicts: Which rows of one text with several labels are kept.
        near_duplicate_threshold: Least similarity of near duplicates.
        split_by_time: Whether the newest rows are tested on, by the time column that `prepare_text` was given.
        test_from: First time of the test rows.
        test_share: Share that goes to test.
        split_seed: Seed of the split.
        maximum_class_ratio: How many times as many train rows as the rarest a label may have.
        version: What this version is called in later ledgers; empty: the name of the table `prepared`.
        maximum_gibibytes: Most that the statements may read in all; a statement that would read more is not run.
        usd_per_tebibyte: Price of reading, for the log: on demand, 6.25 in most regions.
        known: The table `fingerprints` of an earlier accepted version.
        benchmark: A benchmark, prepared and loaded as the rows were.
        train: `row_id`, `text`, `label`, the other columns.
        test: The same columns.
        ledger: As in `curate_text`.
        fingerprints: As in `curate_text`.
        metrics: As in `curate_text`, but for the edits; `bytes_read`.

    Raises:
        InputError: If a parameter is out of range, a table is missing or lacks a column, the limit would be exceeded,
            so many texts are alike that more than 10¹⁰ pairs would be compared, or too little is left.
    """
    from google.cloud.bigquery import Client

    from seatrial.components.artifacts import SCHEMA_VERSION, describe_metrics
    from seatrial.components.curation.curate_in_bigquery import curate_in_bigquery, describe_table, table_name
    from seatrial.components.curation.text_rules import TextRules
    from seatrial.components.runtime import task

    with task("curate_bigquery"):
        parameters: dict = {
            "minimum_characters": minimum_characters,
            "maximum_characters": maximum_characters,
            "languages": languages,
            "label_conflicts": label_conflicts,
            "near_duplicate_threshold": near_duplicate_threshold,
            "test_from": test_from,
            "test_share": test_share,
            "split_seed": split_seed,
            "maximum_class_ratio": maximum_class_ratio,
        }
        # In a prepared table the columns have these names; without groups all of group_key is null.
        label = "label" if has_labels else ""
        names: dict = {"text_column": "text", "label_column": label, "group_column": "group_key"}
        rules = TextRules(**names, time_column="event_time" if split_by_time else "", **parameters)
        counts = curate_in_bigquery(
            Client(project=project),
            table_name(prepared),
            destination,
            rules,
            known=table_name(known) if known else "",
            benchmark=table_name(benchmark) if benchmark else "",
            version=version or table_name(prepared),
            maximum_gibibytes=maximum_gibibytes,
            usd_per_tebibyte=usd_per_tebibyte,
        )
        for artifact, name in ((train, "train"), (test, "test"), (ledger, "ledger"), (fingerprints, "fingerprints")):
            describe_table(artifact, f"{destination}_{name}", schema_version=SCHEMA_VERSION, parameters=parameters)
        describe_metrics(metrics, counts, f"{counts['train_rows']:,} train, {counts['test_rows']:,} test rows")
