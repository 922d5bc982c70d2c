"""What tasks get and give: parameters, arguments, placeholders, artifacts, importers."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, List, Optional  # noqa: UP035 (KFP knows these)

from kfp import compiler, components, dsl
from kfp.dsl import (
    HTML,
    Artifact,
    ClassificationMetrics,
    Collected,
    ConcatPlaceholder,
    Dataset,
    IfPresentPlaceholder,
    Input,
    InputPath,
    Markdown,
    Metrics,
    Model,
    Output,
    OutputPath,
    ParallelFor,
)

Submit = Callable[..., Any]


def _copy(value: Any, path: Any) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[value, path])


def _show_arguments(path: Any, *arguments: Any) -> dsl.ContainerSpec:
    """Writes the arguments, as the task sees them, as a JSON list."""
    script = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    return dsl.ContainerSpec(image="python", command=["python3", "-c", script], args=[path, *arguments])


@dsl.container_component
def text(value: str, out: OutputPath(str)):
    return _copy(value, out)


@dsl.container_component
def whole(value: str, out: OutputPath(int)):
    return _copy(value, out)


@dsl.container_component
def real(value: str, out: OutputPath(float)):
    return _copy(value, out)


@dsl.container_component
def flag(value: str, out: OutputPath(bool)):
    return _copy(value, out)


@dsl.container_component
def several(value: list, out: OutputPath(list)):
    return _copy(value, out)


@dsl.container_component
def items(value: str, out: OutputPath(list)):
    return _copy(value, out)


@dsl.container_component
def fields(value: str, out: OutputPath(dict)):
    return _copy(value, out)


@dsl.container_component
def write(value: str, data: Output[Dataset]):
    return _copy(value, data.path)


@dsl.container_component
def read(data: Input[Dataset], out: OutputPath(str)):
    return dsl.ContainerSpec(image="busybox", command=["cp", data.path, out])


# Parameters and arguments


def test_any_text_reaches_the_arguments_of_a_task_and_comes_back(run: Submit) -> None:
    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def repeat(texts: List[str]) -> List[str]:  # noqa: UP006
        return texts

    @dsl.pipeline(name="texts")
    def pipeline(texts: List[str]):  # noqa: UP006
        with ParallelFor(texts) as item:
            echoed = text(value=text(value=item).outputs["out"])
        repeat(texts=Collected(echoed.outputs["out"]))

    texts = [
        *(
            "",
            " ",
            "it's",
            '"',
            "a\\b",
            "a\nb\n",
            "\t",
            "ünï 漢字 🚢",
            "{{x}}",
            "{{$",
            "$HOME",
            "$(HOME)",
            "`id`",
            "%s",
        ),
        *('{"a": 1}', "[1, 2]", "null", "true", "1", "1.0", "-", "'; exit 1; '", "--flag", "<&>", "\u2028", "x" * 5000),
        "{{$.pipeline_job_name}} {{$.inputs.parameters['value']}}",
    ]
    job = run(pipeline, {"texts": texts})
    assert job.state == "SUCCEEDED", job.error
    assert job.output("repeat") == texts


def test_values_of_all_types_are_arguments_whatever_their_names(run: Submit) -> None:
    @dsl.container_component
    def show(type: str, name: int, input_: float, a1_b2: bool, list: list, options: dict, out: OutputPath(list)):
        joined = ConcatPlaceholder(['{"n": ', name, ', "deep": ', ConcatPlaceholder([options, "}"])])
        return _show_arguments(out, type, name, input_, a1_b2, list, options, joined, ConcatPlaceholder(["t=", type]))

    @dsl.pipeline(name="arguments")
    def pipeline(n: int = 2**53 - 1, rate: float = 1e-300, on: bool = True, options: dict = {"k": [1, 2.5]}):  # noqa: B006
        show(type="it's", name=n, input_=rate, a1_b2=on, list=[1, "a", 2.5], options=options)
        show(type="", name=-3, input_=0.25, a1_b2=False, list=[], options={})

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    *values, values_list, options, joined, concatenated = job.output("show", "out")
    assert values == ["it's", str(2**53 - 1), "1e-300", "true"]
    assert [json.loads(value) for value in (values_list, options)] == [[1, "a", 2.5], {"k": [1, 2.5]}]
    assert json.loads(joined) == {"n": 2**53 - 1, "deep": {"k": [1, 2.5]}}
    assert concatenated == "t=it's"
    assert ".0" not in "".join(job.output("show", "out"))
    assert job.output("show-2", "out")[:6] == ["", "-3", "0.25", "false", "[]", "{}"]


def test_arguments_depend_on_what_is_given(run: Submit) -> None:
    @dsl.container_component
    def show(
        out: OutputPath(list),
        a: Optional[str] = None,  # noqa: UP045
        b: str = "B",
        data: Optional[Input[Dataset]] = None,  # noqa: UP045
    ):
        return _show_arguments(
            out,
            IfPresentPlaceholder("a", then=["--a", a], else_=["--no-a", "x"]),
            b,
            IfPresentPlaceholder("a", then=ConcatPlaceholder(["a=", a, "+", ConcatPlaceholder(["b=", b])])),
            IfPresentPlaceholder("data", then=["--data", data.uri]),
        )

    @dsl.pipeline(name="within")
    def within(data: Optional[Input[Dataset]] = None):  # noqa: UP045
        show(data=data)

    @dsl.pipeline(name="present")
    def pipeline(missing: Optional[str] = None, given: Optional[str] = "g"):  # noqa: UP045
        data = write(value="x").outputs["data"]
        show(), show(a="it's"), show(a="", b="2"), show(a=missing), show(a=given), show(data=data)
        within(), within(data=data)

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    uri = job.artifacts("write", "data")[0].uri
    assert {name: job.output(name, "out") for name in sorted(job.states) if "show" in name} == {
        "show": ["--no-a", "x", "B"],
        "show-2": ["--a", "it's", "B", "a=it's+b=B"],
        "show-3": ["--a", "", "2", "a=+b=2"],
        "show-4": ["--no-a", "x", "B"],
        "show-5": ["--a", "g", "B", "a=g+b=B"],
        "show-6": ["--no-a", "x", "B", "--data", uri],
        "within.show": ["--no-a", "x", "B"],
        "within-2.show": ["--no-a", "x", "B", "--data", uri],
    }


def test_placeholders_name_the_job_and_the_task_in_arguments_and_in_the_environment(run: Submit, bucket: str) -> None:
    @dsl.container_component
    def identify(item: str, out: OutputPath(str)):
        return _copy(dsl.PIPELINE_TASK_ID_PLACEHOLDER, out)

    @dsl.container_component
    def show(out: OutputPath(list)):
        return _show_arguments(
            out,
            *(dsl.PIPELINE_JOB_ID_PLACEHOLDER, dsl.PIPELINE_TASK_ID_PLACEHOLDER),
            *(dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER, dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER),
            "<{{$.pipeline_network}}{{$.pipeline_encryption_key_name}}{{$.pipeline_persistent_resource_id}}>",
            *("{{$.pipeline_service_account}}", "{{$.no_such_placeholder}}"),
        )

    @dsl.container_component
    def show_environment(out: OutputPath(str)):
        script = 'printf "%s|" "$A" "$B" "$C" "$D" > "$0"'
        return dsl.ContainerSpec(image="busybox", command=["sh", "-c", script], args=[out])

    @dsl.pipeline(name="identities", pipeline_root=f"gs://{bucket}/default")
    def pipeline():
        show()
        write(value="x")
        task = show_environment()
        task.set_env_variable("A", 'it\'s "q" $HOME 漢').set_env_variable("B", "")
        task.set_env_variable("C", f"{dsl.PIPELINE_JOB_NAME_PLACEHOLDER} in {{{{$.pipeline_google_cloud_location}}}}")
        task.set_env_variable("D", dsl.PIPELINE_TASK_NAME_PLACEHOLDER)
        with ParallelFor(["a", "b"], name="loop") as item:
            identify(item=item)

    account = "someone@other-project.iam.gserviceaccount.com"
    elsewhere = {"project": "other-project", "location": "europe-west4", "pipeline_root": None}
    job = run(pipeline, service_account=account, **elsewhere)
    assert job.state == "SUCCEEDED", job.error
    job_id, task_id, created, scheduled, unset, *rest = job.output("show", "out")
    assert all(re.fullmatch(r"-?\d+", number) for number in (job_id, task_id))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", moment) for moment in (created, scheduled))
    assert (unset, rest) == ("<>", [account, "{{$.no_such_placeholder}}"])
    environment = f'it\'s "q" $HOME 漢||{job.job.name} in europe-west4|show-environment|'
    assert job.output("show-environment", "out") == environment
    assert len({task_id, *(job.output(f"loop.loop-iteration-{number}.identify", "out") for number in (0, 1))}) == 3
    assert job.job.resource_name.startswith("projects/other-project/locations/europe-west4/pipelineJobs/")
    assert job.artifacts("write", "data")[0].uri.startswith(f"gs://{bucket}/default/")


def test_a_task_is_told_its_inputs_and_outputs_as_an_executor_input(run: Submit) -> None:
    @dsl.container_component
    def show(data: Input[Dataset], n: int, values: list, model: Output[Model], out: OutputPath(list)):
        return _show_arguments(out, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, data.metadata, data.path, model.path)

    @dsl.pipeline(name="executor-inputs")
    def pipeline():
        show(data=write(value="x").outputs["data"], n=3, values=[1])

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    (data,), (model,) = job.artifacts("write", "data"), job.artifacts("show", "model")
    executor_input, metadata, *paths = job.output("show", "out")
    told = json.loads(executor_input)
    assert told["inputs"]["parameterValues"] == {"n": 3, "values": [1]}
    assert "3.0" not in executor_input
    (given,) = told["inputs"]["artifacts"]["data"]["artifacts"]
    assert (given["name"], given["uri"]) == (data.name, data.uri)
    assert given["type"]["schemaTitle"] == "system.Dataset"
    assert given["metadata"] == json.loads(metadata) == {}
    assert told["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == model.uri
    folder = model.uri.removesuffix("/model").replace("gs://", "/gcs/")
    assert told["outputs"]["outputFile"] == f"{folder}/executor_output.json"
    assert told["outputs"]["parameters"]["out"]["outputFile"] == f"{folder}/out"
    assert paths == [data.uri.replace("gs://", "/gcs/"), f"{folder}/model"]


_WRITTEN = [
    *((whole, "42", 42), (whole, "42\n", 42), (real, "1.5", 1.5), (real, "3", 3), (flag, "true", True)),
    *((items, '[1, "a"]', [1, "a"]), (fields, '{"k": 1}', {"k": 1})),
    *((text, '{"k": 1}', '{"k": 1}'), (text, "007", "007"), (text, " a\n", " a\n"), (text, "", "")),
]
_MISWRITTEN = [
    *((whole, "abc", "NUMBER_INTEGER"), (real, "1,5", "NUMBER_DOUBLE"), (flag, "maybe", "BOOLEAN")),
    *((items, '{"a": 1}', "LIST"), (items, "[1, 2", "LIST"), (fields, "[1]", "STRUCT")),
]


def test_an_output_must_be_what_its_component_declares(run: Submit) -> None:
    @dsl.container_component
    def forget(out: OutputPath(str)):
        return dsl.ContainerSpec(image="busybox", command=["true"], args=[out])

    @dsl.pipeline(name="outputs")
    def pipeline():
        text(value=forget().outputs["out"]).set_display_name("of nothing")
        for name, rows in {"right": _WRITTEN, "wrong": _MISWRITTEN}.items():
            for number, (component, value, _) in enumerate(rows):
                component(value=value).set_display_name(f"{name} {number}")

    job = run(pipeline)
    assert (job.state, job.states["forget"], job.states["of nothing"]) == ("FAILED", "FAILED", "NOT_TRIGGERED")
    outputs = [job.output(f"right {number}", "out") for number in range(len(_WRITTEN))]
    assert outputs == [expected for _, _, expected in _WRITTEN]
    for number, (_, value, declared) in enumerate(_MISWRITTEN):
        message = job.details[f"wrong {number}"].error.message
        assert all(part in message for part in (json.dumps(value), "'out'", declared)), message


# Components that come from files


def test_components_are_loaded_from_yaml_old_and_new(run: Submit, tmp_path: Path) -> None:
    old = components.load_component_from_text("""
name: My Fancy COMPONENT v2
inputs:
- {name: Some Text, type: String}
- {name: count, type: Integer, default: '2'}
- {name: maybe, type: String, optional: true}
outputs:
- {name: Result Value, type: String}
- {name: Data, type: Dataset}
implementation:
  container:
    image: busybox
    command: [sh, -c, 'printf "%s %s %s" "$0" "$1" "$4" > "$2"; printf data > "$3"']
    args:
    - {inputValue: Some Text}
    - {inputValue: count}
    - {outputPath: Result Value}
    - {outputPath: Data}
    - {if: {cond: {isPresent: maybe}, then: [{inputValue: maybe}], else: [none]}}
""")

    @dsl.pipeline(name="inner")
    def inner(value: str) -> str:
        return text(value=value).outputs["out"]

    for part in (text, inner):
        compiler.Compiler().compile(part, str(tmp_path / f"{part.name}.yaml"))
    new, whole_pipeline = (
        components.load_component_from_file(str(tmp_path / f"{part.name}.yaml")) for part in (text, inner)
    )

    @dsl.pipeline(name="loaded")
    def pipeline() -> str:
        first = old(some_text="hi there")
        old(some_text="x", count=5, maybe="M")
        read(data=first.outputs["data"])
        return whole_pipeline(value=new(value=first.outputs["result_value"]).outputs["out"]).output

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("my-fancy-component-v2-2", "result_value") == "x 5 M"
    assert job.output("read", "out") == "data"
    assert job.output("") == "hi there 2 none"


def test_a_component_alone_is_a_pipeline(run: Submit) -> None:
    job = run(text, {"value": "alone"})
    assert job.states == {"text": "SUCCEEDED"}
    assert job.output("", "out") == "alone"


def test_machines_and_images_may_be_parameters(run: Submit) -> None:
    @dsl.pipeline(name="machines")
    def pipeline(
        cpus: str = "2", memory: str = "4G", kind: str = "NVIDIA_TESLA_T4", count: str = "1", image: str = "i"
    ):
        constant = text(value="constant").set_cpu_limit("1").set_memory_limit("2G").set_cpu_request("1")
        constant.set_memory_request("1G").set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1)
        given = text(value="given").set_cpu_limit(cpus).set_memory_limit(memory)
        given.set_accelerator_type(kind).set_accelerator_limit(count)
        text(value="image").set_container_image(image)

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert [job.output(name, "out") for name in ("text", "text-2", "text-3")] == ["constant", "given", "image"]


# Artifacts

_METADATA = {"i": 1, "f": 1.5, "s": "é漢", "b": True, "l": [1, "a"], "d": {"n": 2}, "ключ": "v"}


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def make(
    uri: str,
    metadata: dict,
    data: Output[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
    note: Output[Markdown],
    page: Output[HTML],
    unwritten: Output[Artifact],
    plain: OutputPath("Dataset"),
) -> Dataset:
    import os

    data.uri = uri
    data.metadata.update(metadata)
    os.makedirs(f"{model.path}/weights")
    os.makedirs(os.path.dirname(data.path))
    metrics.log_metric("accuracy", 0.5)
    metrics.log_metric("rows", 3)
    curves.log_confusion_matrix(["a", "b"], [[1, 2], [3, 4]])
    curves.log_roc_curve([0, 0.5], [0, 0.5], [1, 0.1])
    unwritten.metadata["n"] = 1
    returned = Dataset(uri=dsl.get_uri(suffix="returned.txt"), metadata={"a": 1})
    texts = {f"{model.path}/weights/é.txt": "w", data.path: "data", note.path: "#", page.path: "<b>", plain: "plain"}
    for path, content in {**texts, returned.path: "returned"}.items():
        with open(path, "w") as file:
            file.write(content)
    return returned


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def look(
    data: Input[Dataset],
    model: Input[Model],
    metrics: Input[Metrics],
    unwritten: Input[Artifact],
    returned: Input[Dataset],
    plain: InputPath("Dataset"),
) -> dict:
    import json
    import os
    import pathlib

    seen = {"texts": [pathlib.Path(path).read_text() for path in (data.path, plain, returned.path)]}
    seen["metadata"] = [json.dumps(item.metadata, sort_keys=True) for item in (data, metrics, unwritten, returned)]
    seen["uri"], seen["path"], seen["unwritten"] = data.uri, data.path, os.path.exists(unwritten.path)
    seen["files"] = [
        os.path.relpath(f"{folder}/{file}", model.path) for folder, _, files in os.walk(model.path) for file in files
    ]
    data.metadata["i"] = "changed by a consumer"
    return seen


def test_artifacts_keep_what_their_maker_gave_them(run: Submit, bucket: str) -> None:
    from google.cloud import storage

    @dsl.pipeline(name="artifacts-of-all-types")
    def pipeline(uri: str, metadata: dict):
        made = make(uri=uri, metadata=metadata)
        given = {name: made.outputs[name] for name in ("data", "model", "metrics", "unwritten", "plain")}
        first = look(returned=made.outputs["Output"], **given)
        look(returned=made.outputs["Output"], **given).after(first)

    uri = f"gs://{bucket}/of/the/user/data.txt"
    job = run(pipeline, {"uri": uri, "metadata": _METADATA})
    assert job.state == "SUCCEEDED", job.error
    assert job.output("look") == job.output("look-2")
    assert job.output("look") == {
        "texts": ["data", "plain", "returned"],
        "metadata": [
            json.dumps(item, sort_keys=True) for item in (_METADATA, {"accuracy": 0.5, "rows": 3}, {"n": 1}, {"a": 1})
        ],
        **{"uri": uri, "path": uri.replace("gs://", "/gcs/"), "unwritten": False, "files": ["weights/é.txt"]},
    }
    assert {name: artifacts.artifacts[0].schema_title for name, artifacts in job.details["make"].outputs.items()} == {
        **{"data": "system.Dataset", "model": "system.Model", "metrics": "system.Metrics"},
        **{"curves": "system.ClassificationMetrics", "note": "system.Markdown", "page": "system.HTML"},
        **{"unwritten": "system.Artifact", "plain": "system.Dataset", "Output": "system.Dataset"},
    }
    curves = job.artifacts("make", "curves")[0].metadata
    assert [list(row["row"]) for row in curves["confusionMatrix"]["rows"]] == [[1, 2], [3, 4]]
    assert len(curves["confidenceMetrics"]) == 2
    for wanted, content in {uri: "data", job.artifacts("make", "note")[0].uri: "#"}.items():
        assert storage.Blob.from_uri(wanted, storage.Client()).download_as_text() == content


def test_what_the_executor_output_says_comes_before_what_lies_in_files(run: Submit) -> None:
    from google_cloud_pipeline_components.types.artifact_types import VertexModel

    @dsl.container_component
    def register(model: Output[VertexModel], out: OutputPath(str)):
        script = """
import json, sys
path, out = sys.argv[1:]
open(out, "w").write("file")
uri = "https://us-central1-aiplatform.googleapis.com/v1/models/9"
model = {"artifacts": [{"uri": uri, "metadata": {"resourceName": "models/9"}}]}
json.dump({"parameterValues": {"out": "executor output"}, "artifacts": {"model": model}}, open(path, "w"))
"""
        path = dsl.PIPELINE_TASK_EXECUTOR_OUTPUT_PATH_PLACEHOLDER
        return dsl.ContainerSpec(image="python", command=["python3", "-c", script], args=[path, out])

    @dsl.container_component
    def use(model: Input[VertexModel], out: OutputPath(str)):
        return _copy(ConcatPlaceholder([model.metadata["resourceName"], " ", model.metadata["missing"]]), out)

    @dsl.pipeline(name="executor-outputs")
    def pipeline():
        use(model=register().outputs["model"])

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    (model,) = job.artifacts("register", "model")
    assert (model.schema_title, model.uri.partition("/v1/")[2]) == ("google.VertexModel", "models/9")
    assert job.output("register", "out") == "executor output"
    assert job.output("use", "out") == "models/9 {{$.inputs.artifacts['model'].metadata['missing']}}"


def test_importers_take_uris_from_anywhere(run: Submit, bucket: str) -> None:
    from google.cloud import aiplatform, storage
    from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel

    @dsl.container_component
    def show_spec(model: Input[UnmanagedContainerModel], out: OutputPath(str)):
        return _copy(model.metadata["containerSpec"], out)

    @dsl.pipeline(name="imports")
    def pipeline(data: Input[Dataset], uris: list, image: str = "image:1"):
        read(data=data)
        with ParallelFor(uris) as uri:
            found = read(data=dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=True).output)
        several(value=Collected(found.outputs["out"]))
        told = dsl.importer(artifact_uri=text(value=f"gs://{bucket}/b").outputs["out"], artifact_class=Dataset)
        read(data=told.output)
        spec = {"imageUri": image, "ports": [{"containerPort": 8080}]}
        model = dsl.importer(
            artifact_uri=f"gs://{bucket}/model",
            artifact_class=UnmanagedContainerModel,
            metadata={"containerSpec": spec},
        )
        show_spec(model=model.output)

    for name in "ab":
        storage.Client().bucket(bucket).blob(name).upload_from_string(f"content of {name}")
    place = {"project": "local-project", "location": "us-central1"}
    data = aiplatform.Artifact.create(schema_title="system.Dataset", uri=f"gs://{bucket}/a", **place)
    uris = [f"gs://{bucket}/{name}" for name in "ba"]
    job = run(pipeline, {"uris": uris}, input_artifacts={"data": data.name})
    assert job.state == "SUCCEEDED", job.error
    assert job.details["read"].inputs["data"].artifacts[0].name == data.resource_name
    assert (job.output("read", "out"), job.output("read-3", "out")) == ("content of a", "content of b")
    assert job.output("several", "out") == ["content of b", "content of a"]
    spec = job.output("show-spec", "out")
    assert json.loads(spec) == {"imageUri": "image:1", "ports": [{"containerPort": 8080}]}
    assert "8080.0" not in spec
