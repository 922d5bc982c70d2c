"""A model server for tests that needs no library: `python model_server.py [never-ready | crash | stubborn | patient]`.

It predicts each instance to be itself, unless the request's parameters say something else: `{"status": 400}`,
`{"text": "…"}` (the body of the answer), `{"exit": true}`, `{"environment": ["NAME"]}` (in the answer's metadata),
`{"started": "FILE", "wait_for": "FILE"}`. A body that is not JSON comes back reversed. A patient one starts to
listen when the file STARTS_WITH is there.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODE = sys.argv[1] if len(sys.argv) > 1 else ""


class Handler(BaseHTTPRequestHandler):
    """Answers the health route and the predict route, and nothing else."""

    def do_GET(self) -> None:
        healthy = self.path == os.environ["AIP_HEALTH_ROUTE"] and MODE != "never-ready"
        self._answer(200 if healthy else 503, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            self._answer(404, b"no such route")
        elif self.headers["Content-Type"] != "application/json":
            self._answer(200, body[::-1], self.headers["Content-Type"])
        else:
            self._predict(json.loads(body))

    def _predict(self, request: dict[str, Any]) -> None:
        parameters = request.get("parameters", {})
        if "started" in parameters:
            Path(parameters["started"]).touch()
        while "wait_for" in parameters and not Path(parameters["wait_for"]).exists():
            time.sleep(0.01)
        if parameters.get("exit"):
            os._exit(3)
        if "status" in parameters or "text" in parameters:
            self._answer(parameters.get("status", 200), parameters.get("text", "refused by the model").encode())
            return
        answer: dict[str, Any] = {"predictions": request["instances"]}
        if "environment" in parameters:
            answer["metadata"] = {name: os.environ.get(name) for name in parameters["environment"]}
        self._answer(200, json.dumps(answer).encode())

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    print(f"a model server in mode {MODE!r}")
    if MODE == "crash":
        sys.exit("the model file is broken")
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while MODE == "patient" and not Path(os.environ["STARTS_WITH"]).exists():
        time.sleep(0.01)
    address = (os.environ["SEATRIAL_HTTP_HOST"], int(os.environ["AIP_HTTP_PORT"]))
    ThreadingHTTPServer(address, Handler).serve_forever()
