"""Data alone: raw rows to a profile, a checked table, clean train and test rows, and prompts, without a model."""

from kfp import dsl

from ..components import curate_text, ingest_table, profile_table, render_prompts, resolve_source, validate_table


@dsl.pipeline(name="curate")
def curate(
    train_uri: str,
    text_column: str,
    label_column: str = "",
    test_uri: str = "",
    labels: list = [],  # noqa: B006 (KFP reads the default)
    schema: dict = {},  # noqa: B006
    rules_uri: str = "",
    languages: list = [],  # noqa: B006
    personal_data: list = ["email", "phone", "card", "iban"],  # noqa: B006
    group_column: str = "",
    time_column: str = "",
    known_uri: str = "",
    version: str = "",
    prompt_template: str = "",
    response_template: str = "{{ label }}",
    shots: int = 0,
) -> None:
    """Profiles, checks and curates texts, and renders them as prompts, with a reason for every row that went.

    Args:
        train_uri: `gs://` object, folder or glob of Parquet, CSV or JSONL files with the rows.
        text_column: Column with the text.
        label_column: Column with the label; empty: the rows have none.
        test_uri: As `train_uri`, the rows to test on; empty holds out a share of the rows.
        labels: The labels that may occur; any other fails the run. Empty: any label may.
        schema: Column to Arrow type, for columns whose type is not left to the files: {"postcode": "string"}.
        rules_uri: `gs://` object with the rules that rows have to keep; empty: those that the profile infers.
        languages: ISO 639-1 codes of the languages that are kept; empty: all.
        personal_data: Kinds of personal data that are redacted.
        group_column: Rows with one value are on one side of the split.
        time_column: Dates or times; where there is no `test_uri`, the newest rows are tested on.
        known_uri: `gs://` folder with the output fingerprints of an earlier accepted version, whose texts are removed.
        version: What this version is called in later ledgers; empty: the first digits of the table's digest.
        prompt_template: Jinja template of a prompt, such as "Great or not? {{ text }}"; empty: no prompts are rendered.
        response_template: Jinja template of the response to it.
        shots: How many examples from train the template gets.
    """
    source = resolve_source(train_uri=train_uri, test_uri=test_uri).set_caching_options(False)
    table = ingest_table(source=source.output, schema=schema).outputs["table"]
    profiled = profile_table(table=table)

    # Freshness is a rule on the time of the run, so what was valid yesterday may not be today.
    with dsl.If(rules_uri != "", name="rules-given"):
        rules = dsl.importer(artifact_uri=rules_uri, artifact_class=dsl.Artifact, reimport=True)
        checked = validate_table(table=table, rules=rules.output).set_caching_options(False)
    with dsl.Else(name="rules-inferred"):
        inferred = validate_table(table=table, rules=profiled.outputs["rules"]).set_caching_options(False)
        inferred.set_display_name("validate-table")
    valid = dsl.OneOf(checked.outputs["valid"], inferred.outputs["valid"])

    parameters = {
        "text_column": text_column,
        "label_column": label_column,
        "labels": labels,
        "languages": languages,
        "personal_data": personal_data,
        "group_column": group_column,
        "time_column": time_column,
        "version": version,
    }
    with dsl.If(known_uri != "", name="version-before"):
        known = dsl.importer(artifact_uri=known_uri, artifact_class=dsl.Dataset)
        increment = curate_text(table=valid, known=known.output, **parameters)
    with dsl.Else(name="first-version"):
        whole = curate_text(table=valid, **parameters).set_display_name("curate-text")
    train = dsl.OneOf(increment.outputs["train"], whole.outputs["train"])
    test = dsl.OneOf(increment.outputs["test"], whole.outputs["test"])

    with dsl.If(prompt_template != "", name="prompts"):
        render_prompts(
            train=train,
            test=test,
            prompt_template=prompt_template,
            response_template=response_template,
            shots=shots,
        )
