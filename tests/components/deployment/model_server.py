"""A model server for rollouts that needs no library: `python model_server.py BEHAVIOUR [NUMBER]`.

It answers each text with its last word as the label, which is right. BEHAVIOUR says what is wrong with it: good,
errors, slow, slow-at-first (its first NUMBER answers), wrong (labels), garbage (no labels), never-ready,
slow-start, crash (after NUMBER answers).
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOUR, NUMBER = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
SECONDS_OF_SLOW_ANSWER, SECONDS_OF_SLOW_START = 1.0, 3.0


class Handler(BaseHTTPRequestHandler):
    """The health route and the predict route."""

    answered = 0

    def do_GET(self) -> None:
        self._answer(503 if BEHAVIOUR == "never-ready" else 200, {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.answered += 1
        if BEHAVIOUR == "crash" and Handler.answered > NUMBER:
            os._exit(1)
        if BEHAVIOUR == "slow" or (BEHAVIOUR == "slow-at-first" and Handler.answered <= NUMBER):
            time.sleep(SECONDS_OF_SLOW_ANSWER)
        labels = [instance["text"].split()[-1] for instance in request["instances"]]
        if BEHAVIOUR == "wrong":
            labels = [f"not {label}" for label in labels]
        predictions = [{"label": label} if BEHAVIOUR != "garbage" else {"answer": 42} for label in labels]
        self._answer(500 if BEHAVIOUR == "errors" else 200, {"predictions": predictions})

    def _answer(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not a line for each request."""


if __name__ == "__main__":
    if BEHAVIOUR == "slow-start":
        time.sleep(SECONDS_OF_SLOW_START)
    address = (os.environ["SEATRIAL_HTTP_HOST"], int(os.environ["AIP_HTTP_PORT"]))
    ThreadingHTTPServer.request_queue_size = 128  # with 5, a connection of many at once may be set up a second late
    ThreadingHTTPServer(address, Handler).serve_forever()
