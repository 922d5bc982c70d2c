"""What the API says of its fields: required, set by the service alone, immutable (`google.api.field_behavior`)."""

import functools
from typing import Any

from google.api import field_behavior_pb2

REQUIRED = field_behavior_pb2.REQUIRED
OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
IMMUTABLE = field_behavior_pb2.IMMUTABLE


@functools.cache
def fields_with(descriptor: Any, behavior: int) -> tuple[Any, ...]:
    """The fields of a message that have a behaviour.

    Args:
        descriptor: Descriptor of the message.
        behavior: `REQUIRED`, `OUTPUT_ONLY` or `IMMUTABLE`.
    """
    return tuple(
        field
        for field in descriptor.fields
        if behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    )


def is_changeable(field: Any) -> bool:
    """Whether an update of a resource may change a field of it."""
    message = field.containing_type
    return field.name != "name" and field not in (*fields_with(message, OUTPUT_ONLY), *fields_with(message, IMMUTABLE))
