"""The README keeps what it says: the catalogue and the parameters of the pipeline are those of the code."""

import re
from pathlib import Path

from seatrial import components
from seatrial.pipelines.train_and_deploy import train_and_deploy

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TYPES = {
    "String": "string",
    "Float": "number",
    "Integer": "integer",
    "List": "list",
    "Boolean": "boolean",
    "Dict": "object",
}


def rows_with(first_cell: str) -> list[list[str]]:
    lines = [line for line in README.splitlines() if line.startswith(f"| `{first_cell}` |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_component_is_in_the_catalogue_with_its_stage():
    for name, stage in components.CATALOGUE.items():
        assert [row[1] for row in rows_with(name)] == [stage], name


def test_every_parameter_of_the_pipeline_is_in_its_table():
    for name, parameter in train_and_deploy.component_spec.inputs.items():
        default = f"`{parameter.default!r}`".replace("'", '"') if parameter.optional else "required"
        meaning = " ".join(parameter.description.split())

        assert rows_with(name) == [[f"`{name}`", TYPES[parameter.type], default, meaning]], name


def test_the_example_of_reuse_compiles(tmp_path):
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def my_training(data: dsl.Input[dsl.Dataset]):
        pass

    names = {"my_training": my_training}
    example = README.split("```python\n")[1].split("```")[0]
    exec(compile(example, "README.md", "exec"), names)
    compiler.Compiler().compile(names["my_pipeline"], str(tmp_path / "my_pipeline.yaml"))

    assert len(example.strip().splitlines()) <= 10


def test_everything_that_is_linked_is_there():
    linked = re.findall(r"\]\(([^)#]+)\)", README)

    assert linked
    for target in linked:
        assert target.startswith("https://") or (ROOT / target).exists(), target
