"""What a person wants to know of a curation, asked of its tables: labels, lengths, clusters, examples."""

from collections import Counter
from dataclasses import dataclass

from .curate import Curation
from .select_rows import OPERATIONS

EXAMPLES_OF_EACH = 3
CLUSTERS_SHOWN = 5
_TEXTS_OF_CLUSTER = 4
_LABELS = "SELECT label, COUNT(*) FROM prepared GROUP BY label"
_LABELS_KEPT = "SELECT split, label, COUNT(*) FROM remaining GROUP BY split, label"
_LENGTHS = "SELECT text_characters, COUNT(*) FROM prepared GROUP BY text_characters"
_LENGTHS_KEPT = """
SELECT p.text_characters, COUNT(*) FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
GROUP BY p.text_characters
"""
_EXAMPLES = """
SELECT m.operation, m.reason, p.row_id, p.text, IFNULL(m.related_row_id, k.row_id) AS related_row_id, k.text
FROM (
  SELECT row_number, operation, reason, related_number, related_row_id,
    ROW_NUMBER() OVER (PARTITION BY operation ORDER BY row_number) AS place
  FROM removed
) AS m
JOIN prepared AS p ON p.row_number = m.row_number
LEFT JOIN prepared AS k ON k.row_number = m.related_number
WHERE m.place <= @most ORDER BY m.row_number
"""
_CLUSTERS = """
SELECT p.row_id, p.text, c.texts, q.row_id, q.text
FROM (
  SELECT related_number, COUNT(*) + 1 AS texts,
    ROW_NUMBER() OVER (ORDER BY COUNT(*) DESC, related_number) AS cluster
  FROM removed WHERE operation = 'near_duplicates' GROUP BY related_number
) AS c
JOIN prepared AS p ON p.row_number = c.related_number
JOIN (
  SELECT row_number, related_number, ROW_NUMBER() OVER (PARTITION BY related_number ORDER BY row_number) AS place
  FROM removed WHERE operation = 'near_duplicates'
) AS m ON m.related_number = c.related_number
JOIN prepared AS q ON q.row_number = m.row_number
WHERE c.cluster <= @clusters AND m.place < @texts ORDER BY c.cluster, m.place
"""


@dataclass(frozen=True)
class Example:
    """A removed row, and the row of the source that it repeats, if any."""

    operation: str
    reason: str
    row_id: str
    text: str
    related_row_id: str | None
    related_text: str | None


@dataclass(frozen=True)
class Cluster:
    """A kept text, how many texts are near to it (with itself), and some of those that went."""

    row_id: str
    text: str
    texts: int
    removed: list[tuple[str, str]]


@dataclass(frozen=True)
class Summary:
    """Figures and examples of a curation.

    Attributes:
        labels: Before, in train and in test: label → rows. Without labels None is the only one.
        lengths: Before and after: characters of the cleaned text → rows.
        examples: The first removed rows of each operation.
        clusters: The largest clusters of near duplicates.
    """

    labels: tuple[Counter[str | None], Counter[str | None], Counter[str | None]]
    lengths: tuple[Counter[int], Counter[int]]
    examples: list[Example]
    clusters: list[Cluster]


def summarise(curation: Curation) -> Summary:
    """Asks the tables of a curation."""
    rows = curation.engine.rows
    kept: dict[str, Counter[str | None]] = {"train": Counter(), "test": Counter()}
    for split, label, count in rows(_LABELS_KEPT):
        kept[split][label] = count
    clusters: dict[str, Cluster] = {}
    for row_id, text, texts, other_id, other in rows(
        _CLUSTERS, {"clusters": CLUSTERS_SHOWN, "texts": _TEXTS_OF_CLUSTER}
    ):
        clusters.setdefault(row_id, Cluster(row_id, text, texts, [])).removed.append((other_id, other))
    return Summary(
        (Counter(dict(rows(_LABELS))), kept["train"], kept["test"]),
        (Counter(dict(rows(_LENGTHS))), Counter(dict(rows(_LENGTHS_KEPT)))),
        sorted(
            (Example(*row) for row in rows(_EXAMPLES, {"most": EXAMPLES_OF_EACH})),
            key=lambda example: list(OPERATIONS).index(example.operation),
        ),
        list(clusters.values()),
    )
