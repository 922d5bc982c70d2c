"""Which names buckets and objects may have: by the rules of Cloud Storage, and as files of the same name."""

import re

from .errors import invalid

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_LONGEST_OBJECT_NAME = 1024
_LONGEST_FILE_NAME = 255


def is_bucket_name(name: str) -> bool:
    """Whether Cloud Storage would take the name for a bucket."""
    return (
        _BUCKET_NAME.fullmatch(name) is not None
        and all(0 < len(part) <= 63 for part in name.split("."))
        and _IP_ADDRESS.fullmatch(name) is None
        and not name.startswith("goog")
        and "google" not in name
    )


def object_name_problem(name: str) -> str | None:
    """Why no object can have this name here.

    Args:
        name: An object's name; a folder marker's ends in "/".

    Returns:
        The reason, or None for a name that can be used.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not 1 <= len(encoded) <= _LONGEST_OBJECT_NAME:
        return f"it has {len(encoded)} bytes, and 1 to {_LONGEST_OBJECT_NAME} are allowed"
    if any(character in name for character in "\0\r\n"):
        return "it contains a NUL, carriage return or line feed"
    for segment in encoded.removesuffix(b"/").split(b"/"):
        if segment in (b"", b".", b".."):
            return f'a segment between slashes is "{segment.decode()}", which is no name for a file'
        if len(segment) > _LONGEST_FILE_NAME:
            return f"a segment between slashes has {len(segment)} bytes, and a file name at most {_LONGEST_FILE_NAME}"
    return None


def check_object_name(name: str) -> None:
    """Refuses the name of an object that is to be written.

    Raises:
        StorageError: With code 400.
    """
    problem = object_name_problem(name)
    if problem:
        shown = name.encode(errors="replace").decode()
        raise invalid(f"Invalid object name {shown!r}: {problem}. Objects are kept as files of their name.")


def split_uri(uri: str) -> tuple[str, str]:
    """Takes gs://bucket/name apart; the name may be empty.

    Raises:
        StorageError: With code 400, when it is no such URI or when a name in it cannot be used.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not is_bucket_name(bucket):
        raise invalid(f"Invalid Cloud Storage URI {uri!r}: expected gs://BUCKET/NAME.")
    if name:
        check_object_name(name)
    return bucket, name
