"""The processes behind deployed models, without the rest of the server."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex.api import ApiError, from_dict, message
from seatrial.localvertex.names import project_number
from seatrial.localvertex.runtimes.process import ProcessRuntime
from seatrial.localvertex.serving import Serving
from seatrial.localvertex.store import Store
from seatrial.localvertex.vertex import Vertex

SERVER = Path(__file__).with_name("model_server.py")
ENDPOINT = "projects/local-project/locations/us-central1/endpoints/5"
MODEL = "projects/local-project/locations/us-central1/models/text"


@contextlib.asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Serving]:
    """What a server has of serving, from its start to its end."""
    vertex = Vertex(home, Store(home / "vertex.sqlite"), None, {"GOOGLE_CLOUD_PROJECT": "local"}, private_root=False)
    vertex.runtime = ProcessRuntime(vertex)
    served = Serving(vertex)
    served.resume()
    try:
        yield served
    finally:
        await served.close()
        await vertex.tasks.close()
        vertex.store.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def model(*arguments: str, **container_spec: Any) -> Any:
    """A model whose server runs with these arguments."""
    spec = {
        "imageUri": "image",
        "command": [sys.executable, str(SERVER)],
        "args": list(arguments),
        "predictRoute": "/predict",
        "healthRoute": "/health",
        **container_spec,
    }
    document = {"name": f"{MODEL}@1", "artifactUri": "gs://bucket/model", "containerSpec": spec}
    return from_dict(document, message("Model")())


def deployed(deployed_id: str = "1") -> Any:
    return message("DeployedModel")(id=deployed_id, model=MODEL, model_version_id="1")


async def predict(served: Serving, deployed_id: str = "1", **parameters: Any) -> Any:
    body = json.dumps({"instances": ["x"], "parameters": parameters}).encode()
    answer = await served.predict(ENDPOINT, deployed_id, body, "application/json", timeout_seconds=60.0)
    return json.loads(answer.body)


async def environment(served: Serving, *names: str) -> dict[str, str | None]:
    """Variables as the model server sees them."""
    return (await predict(served, environment=names))["metadata"]


async def predict_when_ready(served: Serving) -> tuple[Any, list[str]]:
    """A prediction, and the codes of the errors until it was made."""
    codes = []
    while True:
        try:
            return await predict(served), codes
        except ApiError as error:
            codes.append(error.code.name)
            await asyncio.sleep(0.01)


def living(processes: Path) -> list[int]:
    """Those of the processes that a file lists which have not ended."""
    found = []
    for process in map(int, processes.read_text().split()):
        with contextlib.suppress(FileNotFoundError):
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
            found += [process] if state != "Z" else []
    return found


def test_a_model_server_gets_the_variables_that_vertex_ai_documents(tmp_path: Path):
    async def check() -> None:
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model())
            expected = {
                "AIP_MODE": "PREDICTION",
                "AIP_MODE_VERSION": "1.0.0",
                "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
                "AIP_PROJECT_NUMBER": project_number("local-project"),
                "AIP_ENDPOINT_ID": "5",
                "AIP_MODEL_NAME": "5",
                "AIP_DEPLOYED_MODEL_ID": "1",
                "AIP_VERSION_NAME": "1",
                "AIP_HEALTH_ROUTE": "/health",
                "AIP_PREDICT_ROUTE": "/predict",
                "AIP_STORAGE_URI": "gs://bucket/model",
                "AIP_MACHINE_TYPE": None,
                "GOOGLE_CLOUD_PROJECT": "local",
            }
            assert await environment(served, *expected) == expected
            path = (await environment(served, "PATH"))["PATH"]
            assert path.split(os.pathsep)[0] == str(Path(sys.executable).parent)

    run(check())


def test_routes_have_the_defaults_that_vertex_ai_documents(tmp_path: Path):
    async def check() -> None:
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model(predictRoute="", healthRoute=""))
            assert await environment(served, "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE") == {
                "AIP_HEALTH_ROUTE": "/v1/endpoints/5/deployedModels/1",
                "AIP_PREDICT_ROUTE": "/v1/endpoints/5/deployedModels/1:predict",
            }

    run(check())


def test_command_arguments_and_variables_may_refer_to_variables(tmp_path: Path):
    async def check() -> None:
        variables = [
            {"name": "FIRST", "value": "id-$(AIP_DEPLOYED_MODEL_ID)"},
            {"name": "SECOND", "value": "$(FIRST) $$(FIRST) $(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "SCRIPT", "value": str(SERVER)},
        ]
        async with serving(tmp_path) as served:
            version = model(command=["python"], args=["$(SCRIPT)"], env=variables)
            await served.start(ENDPOINT, deployed(), version)
            assert await environment(served, "FIRST", "SECOND") == {
                "FIRST": "id-1",
                "SECOND": "id-1 $(FIRST) $(LATER)",
            }

    run(check())


def test_the_output_of_a_model_server_is_its_log(tmp_path: Path):
    async def check() -> None:
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed("77"), model())
        assert "a model server in mode ''" in (tmp_path / "logs" / "endpoints" / "5-77.log").read_text()

    run(check())


def test_deployed_models_of_two_endpoints_may_have_the_same_id(tmp_path: Path):
    async def check() -> None:
        other = f"{ENDPOINT}5"
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model())
            await served.start(other, deployed(), model())
            await served.stop(other, "1")
            assert await environment(served, "AIP_ENDPOINT_ID") == {"AIP_ENDPOINT_ID": "5"}

    run(check())


def test_a_model_server_that_ends_is_started_again_and_unavailable_meanwhile(tmp_path: Path):
    async def check() -> None:
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model())
            with pytest.raises(ApiError) as failure:
                await predict(served, exit=True)
            assert failure.value.code.name == "UNAVAILABLE"
            answer, codes = await predict_when_ready(served)
            assert answer["predictions"] == ["x"]
            assert set(codes) == {"UNAVAILABLE"}

    run(check())


def test_a_model_server_that_is_killed_is_started_again_and_cannot_be_killed_before(tmp_path: Path):
    async def check() -> None:
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model())
            assert await served.kill("5") == "1"
            with pytest.raises(ApiError, match="The process of DeployedModel 1 is down already"):
                await served.kill(ENDPOINT, "1")
            answer, _ = await predict_when_ready(served)
            assert answer["predictions"] == ["x"]

    run(check())


def test_what_was_deployed_is_served_again_after_a_restart_of_the_server(tmp_path: Path):
    async def check() -> None:
        store = Store(tmp_path / "vertex.sqlite")
        store.create(model())
        store.create(message("Endpoint")(name=ENDPOINT, deployed_models=[deployed()]))
        store.close()
        for _ in range(2):
            async with serving(tmp_path) as served:
                assert (await predict(served))["predictions"] == ["x"]

    run(check())


def test_a_model_that_cannot_be_served_again_after_a_restart_is_unavailable_at_once(tmp_path: Path):
    async def check() -> None:
        store = Store(tmp_path / "vertex.sqlite")
        store.create(model(command=["false"]))
        store.create(message("Endpoint")(name=ENDPOINT, deployed_models=[deployed()]))
        store.close()
        async with serving(tmp_path) as served:
            with pytest.raises(ApiError, match="not ready") as failure:
                await predict(served)
            assert failure.value.code.name == "UNAVAILABLE"

    run(check())


def test_a_port_that_another_process_takes_first_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    free_port: Callable[[Serving], int] = Serving._free_port
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        ports = [foreign.getsockname()[1]]
        monkeypatch.setattr(Serving, "_free_port", lambda self: ports.pop() if ports else free_port(self))

        async def check() -> None:
            async with serving(tmp_path) as served:
                await served.start(ENDPOINT, deployed(), model(deploymentTimeout="20s"))
                assert (await predict(served))["predictions"] == ["x"]

        run(check())


def test_a_model_server_is_stopped_when_it_has_answered_its_requests(tmp_path: Path):
    async def check() -> None:
        started, may_finish = tmp_path / "started", tmp_path / "may_finish"
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model())
            answer = asyncio.create_task(predict(served, started=str(started), wait_for=str(may_finish)))
            while not started.exists():
                await asyncio.sleep(0.01)
            stopped = asyncio.create_task(served.stop(ENDPOINT, "1"))
            await asyncio.sleep(0)
            with pytest.raises(ApiError, match="not served"):
                await predict(served)
            may_finish.touch()
            assert (await answer)["predictions"] == ["x"]
            await stopped

    run(check())


@pytest.mark.parametrize("mode", ["", "stubborn"])
def test_no_process_is_left_when_the_server_closes(tmp_path: Path, mode: str):
    children = tmp_path / "children"
    command = ["sh", "-c", f'sleep 1000 & echo $! $$$$ > "{children}"; exec "$0" "$@"', sys.executable, str(SERVER)]

    async def check() -> None:
        async with serving(tmp_path) as served:
            await served.start(ENDPOINT, deployed(), model(mode, command=command))
            assert len(living(children)) == 2
        while living(children):  # killed, but the kernel may take a moment
            await asyncio.sleep(0.01)

    run(check())


def test_no_process_is_left_of_a_model_that_does_not_get_ready(tmp_path: Path):
    children = tmp_path / "children"
    command = ["sh", "-c", f'echo $$$$ > "{children}"; exec "$0" "$@"', sys.executable, str(SERVER)]

    async def check() -> None:
        async with serving(tmp_path) as served:
            with pytest.raises(ApiError, match="never became ready"):
                await served.start(ENDPOINT, deployed(), model("never-ready", command=command, deploymentTimeout="1s"))
            assert not living(children)
            with pytest.raises(ApiError, match="not served"):
                await predict(served)

    run(check())
