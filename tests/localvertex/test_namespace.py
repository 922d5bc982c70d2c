"""Runs `namespace_cases.py` in a process of its own.

The kernel makes a user namespace only for a process with one thread, and the cases fork; a child of a test process in
which other tests have used gRPC can have more.
"""

import subprocess
import sys
from pathlib import Path


def test_the_private_root_folder_keeps_its_promises():
    cases = Path(__file__).with_name("namespace_cases.py")
    pytest = Path(sys.executable).with_name("pytest")
    command = [str(pytest), "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(cases)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert " passed" in finished.stdout
