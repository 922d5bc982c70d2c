"""Container tasks: what their containers are given, and what they have put out.

A task sees what Vertex AI shows it: the executor input, its outputs below the pipeline root, its environment variables.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..names import project_number
from ..runtimes.container import Container, with_expanded
from ..vertex import Vertex
from .ir import Component, Json
from .large_arguments import is_python_component
from .lineage import Lineage
from .mount import Mount
from .notification_email import note_email, sends_email
from .outcome import TaskError, Values
from .placeholders import Placeholders
from .reasons import last_reason
from .resources import read_limits
from .values import convert, from_struct, shown

_OUTPUT_FILE = "executor_output.json"


@dataclass(frozen=True)
class ContainerTask:
    """A container task with all that it needs.

    Attributes:
        lineage: The metadata of its run.
        component: Its component.
        inputs: What it takes in.
        templates: The input parameters whose values are the author's text, not data.
        constants: The values of placeholders such as `{{$.pipeline_job_name}}`.
        folder_uri: `gs://` folder for what it puts out.
        location: Location of the job: projects/PROJECT/locations/LOCATION.
        labels: The labels of its run.
        log: The file for its output.
    """

    vertex: Vertex
    lineage: Lineage
    component: Component
    inputs: Values
    templates: Collection[str]
    constants: Mapping[str, str]
    folder_uri: str
    location: str
    labels: Mapping[str, str]
    log: Path

    async def run(self) -> Values:
        """Runs the task once and returns what it put out.

        Raises:
            TaskError: If the container cannot be started, fails, or has not put out what it declares.
        """
        if sends_email(self.component.executor["container"].get("command", ())):
            note_email(self.inputs, self.log)
            return Values()
        mount = Mount(self.vertex)
        executor_input = self._executor_input(mount)
        self._make_output_folders(mount)
        log_start = self.log.stat().st_size if self.log.exists() else 0
        status = await self.vertex.runtime.run(self._container(executor_input, mount))
        if status != 0:
            reason = last_reason(self.log, log_start)
            message = f"The replica workerpool0-0 exited with a non-zero status of {status}."
            raise TaskError(f"{message} {reason}" if reason else message)
        # The path is looked up again: the task may have made it a link that leads out of the buckets.
        return self._outputs(executor_input, _read_output(mount.file(self._output_uri(_OUTPUT_FILE))), mount)

    def _executor_input(self, mount: Mount) -> Json:
        return {
            "inputs": {
                "parameterValues": self.inputs.parameters,
                "artifacts": {
                    name: {"artifacts": [_runtime_artifact(artifact) for artifact in found]}
                    for name, found in self.inputs.artifacts.items()
                },
            },
            "outputs": {
                "parameters": {
                    name: {"outputFile": mount.path(self._output_uri(name))}
                    for name in self.component.output_parameters
                },
                "artifacts": {
                    name: {
                        "artifacts": [
                            {
                                "name": self.lineage.new_artifact_name(),
                                "type": slot.as_json(),
                                "uri": self._output_uri(name),
                                "metadata": {},
                            }
                        ]
                    }
                    for name, slot in self.component.output_artifacts.items()
                },
                "outputFile": mount.path(self._output_uri(_OUTPUT_FILE)),
            },
        }

    def _output_uri(self, name: str) -> str:
        return f"{self.folder_uri}/{name}"

    def _make_output_folders(self, mount: Mount) -> None:
        """Makes the folder of the outputs, without what an earlier attempt left."""
        folder = mount.file(self.folder_uri)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def _container(self, executor_input: Json, mount: Mount) -> Container:
        spec = self.component.executor["container"]
        command, args = spec.get("command", ()), spec.get("args", ())
        if is_python_component([*command, *args]):
            executor_input = mount.for_python_component(executor_input)
        lists = [name for name, slot in self.component.artifacts.items() if slot.is_list]
        placeholders = Placeholders(self.constants, executor_input, mount.path, lists, self.templates)
        return Container(
            image=placeholders.in_value(spec["image"]),
            command=placeholders.in_arguments(command),
            args=placeholders.in_arguments(args),
            variables=self._variables(spec, placeholders),
            log=self.log,
            limits=read_limits(placeholders.in_value(spec.get("resources", {}))),
        )

    def _variables(self, spec: Json, placeholders: Placeholders) -> dict[str, str]:
        _, project, _, location = self.location.split("/")
        own = {variable["name"]: variable.get("value", "") for variable in spec.get("env", ())}
        variables = {
            "GOOGLE_CLOUD_PROJECT": project,
            "CLOUD_ML_PROJECT_ID": project_number(project),
            "CLOUD_ML_REGION": location,
            # KFP's executor sees by it that it is on Vertex AI; Google's launchers label with it what they make.
            "VERTEX_AI_PIPELINES_RUN_LABELS": json.dumps(self.labels),
        }
        return with_expanded(variables, placeholders.in_value(own))

    def _outputs(self, executor_input: Json, reported: Json, mount: Mount) -> Values:
        outputs = Values(self._output_parameters(reported.get("parameterValues", {}), mount))
        for name, slot in self.component.output_artifacts.items():
            (expected,) = executor_input["outputs"]["artifacts"][name]["artifacts"]
            found = (reported.get("artifacts", {}).get(name, {}).get("artifacts") or [{}])[0]
            uri = mount.uri(found.get("uri") or expected["uri"])
            metadata = found.get("metadata") or {}
            artifact = self.lineage.new_artifact(expected["name"], name, slot, uri, metadata)
            outputs.artifacts[name] = [artifact]
        return outputs

    def _output_parameters(self, reported: Mapping[str, Any], mount: Mount) -> dict[str, Any]:
        parameters = {}
        for name, declared in self.component.output_parameters.items():
            file = mount.file(self._output_uri(name))
            if name in reported:
                value = reported[name]
            elif file.is_file():
                value = file.read_text()
            else:
                raise TaskError(
                    f"The component declares the output {name!r} ({declared.type}), but the task has not written it."
                )
            try:
                parameters[name] = convert(value, declared.type)
            except ValueError:
                raise TaskError(
                    f"The task wrote {shown(value)} to the output {name!r}; expected a value of type {declared.type}."
                ) from None
        return parameters


def _runtime_artifact(artifact: Any) -> Json:
    return {
        "name": artifact.name,
        "type": {"schemaTitle": artifact.schema_title, "schemaVersion": artifact.schema_version},
        "uri": artifact.uri,
        "metadata": from_struct(artifact.metadata),
    }


def _read_output(path: Path) -> Json:
    """Reads the file in which a task reports its outputs; many tasks write none."""
    if not path.is_file():
        return {}
    try:
        output = json.loads(path.read_text())
    except ValueError as error:
        raise TaskError(f"The task has not written JSON to {path.name}: {error}") from None
    return output if isinstance(output, dict) else {}
