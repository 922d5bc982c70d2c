"""The catalogue of seatrial's components: `from seatrial.components import curate_text`.

Names are imported on access (PEP 562), so that `import seatrial.components` costs nothing and loads no heavy library.
"""

from importlib import import_module
from typing import Any

CATALOGUE = {
    "resolve_source": "curation",
    "ingest_table": "curation",
    "profile_table": "curation",
    "validate_table": "curation",
    "curate_text": "curation",
    "render_prompts": "curation",
    "transform_table": "curation",
    "prepare_text": "curation",
    "load_bigquery": "curation",
    "curate_bigquery": "curation",
    "train_linear": "training",
    "resolve_model": "training",
    "ingest_model": "training",
    "finetune_text": "training",
    "batch_predict": "prediction",
    "evaluate_classification": "evaluation",
    "compare_models": "evaluation",
    "gate": "evaluation",
    "report_run": "evaluation",
    "look_up_champion": "deployment",
    "package_model": "deployment",
    "plan_rollout": "deployment",
    "deploy_canary": "deployment",
    "keep_champion": "deployment",
}
__all__ = list(CATALOGUE)


def __getattr__(name: str) -> Any:
    if name not in CATALOGUE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{CATALOGUE[name]}.component", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *CATALOGUE])
