"""Runs KFP's executor with its large arguments put back: `python3 restored_arguments.py -m kfp.dsl.executor_main …`.

It is copied next to a task and runs in the task's image, with whatever Python that has: see `large_arguments.py`.
"""

import os
import runpy
import sys

EXECUTORS = ("kfp.dsl.executor_main", "kfp.components.executor_main")
MARKER = "@seatrial-argument:"


def main() -> None:
    """Runs the executor as `python3 -m` would."""
    module, arguments = sys.argv[2], sys.argv[3:]
    sys.path[0] = os.getcwd()
    sys.argv = [module, *map(restored, arguments)]
    for name, value in zip(arguments, arguments[1:]):  # noqa: B905, RUF007 (older Pythons)
        if name == "--component_module_path":  # the shell has written the argument with the code to this file
            with open(value, encoding="utf-8") as file:
                code = restored(file.read())
            with open(value, "w", encoding="utf-8") as file:
                file.write(code)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def restored(argument: str) -> str:
    """An argument as it was."""
    if not argument.startswith(MARKER):
        return argument
    with open(argument[len(MARKER) :], encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main()
