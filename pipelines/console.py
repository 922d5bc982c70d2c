"""What a run looks like on a terminal: a live table of tasks, or one line a change where the output is no terminal."""

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .log_stream import LogStream
from .submit import RunStatus, TaskStatus

_STYLES = {
    "SUCCEEDED": "green",
    "CACHED": "cyan",
    "RUNNING": "bold yellow",
    "FAILED": "bold red",
    "CANCELLED": "red",
    "SKIPPED": "dim",
    "PENDING": "dim",
}


class RunView:
    """Shows a run while it goes on; use as a context manager and call `show` with each status.

    Args:
        console: Where to show it.
        logs: The logs of its tasks, to be shown as well.
    """

    def __init__(self, console: Console, logs: LogStream | None = None) -> None:
        self._console, self._logs = console, logs
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._seen: dict[str, str] = {}

    def __enter__(self) -> "RunView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, status: RunStatus) -> None:
        """Shows one status, after what the tasks have written to their logs."""
        for name, line in self._logs.new_lines(to_end=status.finished) if self._logs else ():
            self._console.print(Text.assemble((f"{name} │ ", "dim"), Text.from_ansi(line)), soft_wrap=True)
        if self._live:
            self._live.update(task_table(status), refresh=True)
            return
        for task in status.tasks:
            if self._seen.get(task.name) != task.state:
                self._seen[task.name] = task.state
                self._console.print(_line(task), style=_STYLES.get(task.state), soft_wrap=True)


def task_table(status: RunStatus) -> Table:
    """The table of a run's tasks."""
    table = Table(title=f"{status.job}  {status.state}  {status.seconds:.0f} s", title_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    table.add_column("result", overflow="fold")
    for task in status.tasks:
        seconds = "" if task.state in ("SKIPPED", "PENDING") else f"{task.seconds:.1f}"
        style = _STYLES.get(task.state, "")
        table.add_row(task.name, Text(task.state.lower(), style), seconds, Text(task.headline))
    return table


def _line(task: TaskStatus) -> Text:
    return Text(f"{task.state.lower():>10}  {task.seconds:6.1f} s  {task.name}  {task.headline}")
