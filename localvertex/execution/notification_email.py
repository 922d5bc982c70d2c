"""`VertexNotificationEmailOp`: Vertex AI sends the e-mail itself; here the task's log says who would have got it."""

from collections.abc import Sequence
from pathlib import Path

from .outcome import Values

_EXECUTOR = "google_cloud_pipeline_components.container.v1.vertex_notification_email.executor"


def sends_email(command: Sequence[str]) -> bool:
    """Whether a container's command is that of the component, which outside of Vertex AI only raises an error."""
    return _EXECUTOR in command


def note_email(inputs: Values, log: Path) -> None:
    """Writes to a task's log who would have got which news."""
    recipients = ", ".join(map(str, inputs.parameters.get("recipients", [])))
    status = inputs.parameters.get("pipeline_task_final_status", {})
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(
            f"The local Vertex AI sends no e-mail. On Vertex AI, {recipients} would hear that "
            f"{status.get('pipelineTaskName', 'the pipeline')} ended with the state {status.get('state', 'unknown')}.\n"
        )
