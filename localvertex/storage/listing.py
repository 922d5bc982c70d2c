"""Lists a folder as Cloud Storage lists a bucket: in the order of names, by prefix, delimiter, range and glob."""

import base64
import binascii
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import invalid, not_implemented
from .names import object_name_problem
from .preconditions import integer

_LARGEST_PAGE = 1000


@dataclass(frozen=True)
class Query:
    """What to list; the fields are the API's parameters of the same names."""

    prefix: str
    delimiter: str
    start_offset: str
    end_offset: str
    include_trailing_delimiter: bool
    glob: re.Pattern[str] | None
    max_results: int
    after: str

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> "Query":
        """Reads the parameters of `objects.list`.

        Raises:
            StorageError: With code 400 for a value that is malformed, 501 for a combination that is not implemented.
        """
        glob = parameters.get("matchGlob", "")
        if glob and parameters.get("delimiter"):
            raise not_implemented("matchGlob together with delimiter")
        return cls(
            prefix=parameters.get("prefix", ""),
            delimiter=parameters.get("delimiter", ""),
            start_offset=parameters.get("startOffset", ""),
            end_offset=parameters.get("endOffset", ""),
            include_trailing_delimiter=parameters.get("includeTrailingDelimiter", "").lower() == "true",
            glob=glob_pattern(glob) if glob else None,
            max_results=page_size(parameters),
            after=read_page_token(parameters.get("pageToken", "")),
        )


@dataclass
class Page:
    """One page of a listing; the token is None on the last."""

    names: list[str]
    prefixes: list[str]
    next_page_token: str | None


def list_page(folder: Path, markers: Collection[str], query: Query) -> Page:
    """Finds the names of one page.

    Args:
        folder: The bucket's folder.
        markers: The folder names, ending in "/", that are objects themselves.
        query: What to list.

    Returns:
        The page. The names are those of files that were there a moment ago.
    """
    page = Page([], [], None)
    last = query.after
    closed = last if _is_prefix(last, query) else None  # the prefix that stands for all names that start with it

    def enter(name: str) -> bool:
        """Whether an object beneath the folder `name` can be on this page."""
        return (
            (name.startswith(query.prefix) or query.prefix.startswith(name))
            and all(name > offset or offset.startswith(name) for offset in (query.start_offset, query.after))
            and not (closed is not None and name.startswith(closed))
        )

    for name in walk(folder, enter):
        if query.end_offset and name >= query.end_offset:
            break
        if not name.startswith(query.prefix) or name < query.start_offset:
            continue
        if (name.endswith("/") and name not in markers) or (query.glob and not query.glob.fullmatch(name)):
            continue
        shown = _collapsed(name, query)
        if shown <= query.after or shown == closed:
            continue
        if len(page.names) + len(page.prefixes) >= query.max_results:
            page.next_page_token = make_page_token(last)
            break
        if _is_prefix(name, query):
            page.prefixes.append(shown)
            closed = shown
        if not _is_prefix(name, query) or (query.include_trailing_delimiter and shown == name):
            page.names.append(name)
        last = shown
    return page


def walk(folder: Path, enter: Callable[[str], bool], name: str = "") -> Iterator[str]:
    """Yields the names of files and, ending in "/", of folders, in the order of names.

    Links are not followed, and what can be no object (a socket, a name that is not Unicode) is left out.

    Args:
        folder: Where to look.
        enter: Whether to go into the folder of this name; it is asked just before.
        name: The name of `folder` itself, "" or ending in "/".
    """
    children: list[tuple[str, str | None]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    children.append((f"{name}{entry.name}/", entry.path))
                elif entry.is_file(follow_symlinks=False):
                    children.append((f"{name}{entry.name}", None))
    except (FileNotFoundError, NotADirectoryError):  # removed in the meantime
        return
    # With the slash at the end a folder sorts where the names beneath it do.
    for child, path in sorted(children):
        if object_name_problem(child):
            continue
        if path is None:
            yield child
        elif enter(child):
            yield child
            yield from walk(Path(path), enter, child)


def page_size(parameters: Mapping[str, str]) -> int:
    """The number of entries a page may have."""
    return min(integer(parameters, "maxResults") or _LARGEST_PAGE, _LARGEST_PAGE)


def make_page_token(last: str) -> str:
    """The token of the page after the entry `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_page_token(token: str) -> str:
    """The entry that a token continues after.

    Raises:
        StorageError: With code 400.
    """
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise invalid(f"Invalid page token {token!r}.") from None


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Translates a glob of `matchGlob`.

    `*` and `?` match within a segment, `**` across segments (`**/` also none), `[a-z]`, `[!a-z]` one character,
    `{a,b}` alternatives, and a backslash makes the next character literal.

    Raises:
        StorageError: With code 400, when brackets or braces are not closed.
    """
    pattern, position, open_braces = "", 0, 0
    while position < len(glob):
        match = _GLOB_PART.match(glob, position)
        if match is None:
            raise invalid(f"Glob pattern {glob!r} has an unclosed or empty '['. Use '\\[' for a literal '['.")
        part, position = match.group(), match.end()
        open_braces += (part == "{") - (part == "}")
        if open_braces < 0 or part == "]":
            raise invalid(f"Glob pattern {glob!r} has a closing {part!r} without its opening one.")
        if part == "," and open_braces:
            pattern += "|"
        elif part in _GLOB_MEANINGS:
            pattern += _GLOB_MEANINGS[part]
        elif part.startswith("[") and len(part) > 1:
            pattern += _character_class(part)
        else:
            pattern += re.escape(part[1:] or part if part.startswith("\\") else part)
    if open_braces:
        raise invalid(f"Glob pattern {glob!r} has an unclosed '{{'. Use '\\{{' for a literal '{{'.")
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise invalid(f"Glob pattern {glob!r} is not valid: {error}.") from None


_GLOB_PART = re.compile(r"\*\*/|\*\*|\[[!^]?(?:\\.|[^\]\[\\])+\]|\\.?|[^\[]", re.DOTALL)
_GLOB_MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}


def _character_class(part: str) -> str:
    negation, members = ("^", part[2:-1]) if part[1] in "!^" else ("", part[1:-1])
    literals = re.findall(r"\\.|.", members, re.DOTALL)
    return f"[{negation}{''.join('-' if literal == '-' else re.escape(literal[-1]) for literal in literals)}]"


def _is_prefix(name: str, query: Query) -> bool:
    return bool(query.delimiter) and query.delimiter in name[len(query.prefix) :]


def _collapsed(name: str, query: Query) -> str:
    """The name up to the first delimiter after the prefix; these parts come in the order of the names."""
    if not _is_prefix(name, query):
        return name
    return name[: name.index(query.delimiter, len(query.prefix)) + len(query.delimiter)]
