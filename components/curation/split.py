"""Which rows are held out for the test, where the source does not say so itself."""

import hashlib


def is_test(text: str, share: float, seed: int) -> bool:
    """Whether the rows with this text belong to the test split.

    A hash of the text decides, so equal texts are never on both sides, and a row stays on its side when other rows
    come or go.

    Args:
        text: The cleaned text.
        share: Expected share of distinct texts in the test split, between 0 and 1.
        seed: Another seed gives another split.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(16, "little", signed=True)).digest()
    return int.from_bytes(digest, "little") < share * 2**64
