"""Pretrained models in Cloud Storage: which files they consist of at one point in time, and a checked copy of these."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifacts import Manifest, check_fields, peek_manifest, write_folder
from ..curation.source import parse_uri, storage_errors
from ..prediction.transformer import FILE_NAMES, REQUIRED_FILES
from ..runtime import InputError, Progress

if TYPE_CHECKING:
    from google.cloud.storage import Client

_FILE_URI = re.compile(rf"gs://[^/]+/(?:.*/)?(?P<name>{'|'.join(map(re.escape, FILE_NAMES))})", re.DOTALL)
_GENERATION = re.compile(r"[1-9][0-9]{0,18}")  # positive 64-bit numbers
_ADVICE = "Pass the output of resolve_model."


def resolve(client: "Client", uri: str) -> list[dict[str, str]]:
    """Lists the files of a Hugging Face folder that are taken, with their generations.

    Args:
        client: Client of Cloud Storage.
        uri: `gs://bucket/folder`.

    Returns:
        One entry a file, sorted by name: uri, and generation (decimal digits as text, since the JSON numbers of a
        pipeline are floating point).

    Raises:
        InputError: If the URI is malformed, or a file that is needed is not there.
    """
    if not uri:
        raise InputError(
            "uri, the pretrained model (pretrained_uri of train_and_deploy), is empty; expected a folder such as "
            "gs://bucket/models/minilm."
        )
    bucket, path = parse_uri(uri)
    prefix = f"{path.rstrip('/')}/" if path else ""
    with storage_errors(uri):
        blobs = {blob.name.removeprefix(prefix): blob for blob in client.list_blobs(bucket, prefix=prefix)}
    if missing := [name for name in REQUIRED_FILES if name not in blobs]:
        raise InputError(
            f"{uri!r} has no {', '.join(missing)}. Expected the folder of a Hugging Face model in safetensors with a "
            "fast tokenizer, as save_pretrained writes it; copy it: gcloud storage cp --recursive FOLDER gs://bucket/"
        )
    return [
        {"uri": f"gs://{bucket}/{prefix}{name}", "generation": str(blobs[name].generation)}
        for name in sorted(FILE_NAMES)
        if name in blobs
    ]


def ingest(client: "Client", source: Sequence[Any], path: str | Path) -> Manifest:
    """Copies the files of a resolved model into a model folder.

    Args:
        client: Client of Cloud Storage.
        source: From `resolve`.
        path: The folder to write.

    Raises:
        InputError: If an entry is none, one is missing or there twice, or its object was replaced or deleted.
    """
    names = Counter(_file_name(entry, f"source[{position}]") for position, entry in enumerate(source))
    if missing := [name for name in REQUIRED_FILES if name not in names]:
        raise InputError(f"The source has no {', '.join(missing)}. {_ADVICE}")
    if repeated := [name for name, count in names.items() if count > 1]:
        raise InputError(f"The source has {', '.join(repeated)} twice. {_ADVICE}")
    progress = Progress(len(source), "files")
    with write_folder(path, kind="model", metadata={"model_type": "pretrained"}) as folder:
        for entry in source:
            bucket, name = parse_uri(entry["uri"])
            with storage_errors(entry["uri"]):
                blob = client.bucket(bucket).blob(name, generation=int(entry["generation"]))
                blob.download_to_filename(folder / name.rsplit("/", 1)[-1])
            progress.advance()
    return peek_manifest(path, kind="model")


def _file_name(entry: Any, place: str) -> str:
    """The name of the file that an entry of a source stands for."""
    check_fields(entry, {"uri": (str,), "generation": (str,)}, place, _ADVICE)
    match = _FILE_URI.fullmatch(entry["uri"])
    if match is None or _GENERATION.fullmatch(entry["generation"]) is None:
        raise InputError(f"{place} is {repr(entry)[:200]}, which is no file of a model. {_ADVICE}")
    return match["name"]
