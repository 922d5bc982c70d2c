"""Near duplicates in GoogleSQL: the same rows as `near.py` finds, for where no rows pass through a container.

Jaccard similarity of sets of shingles, exact, with candidates by prefix filter as in `near.py`; all decisions are made
on whole numbers. The threshold is in ten-thousandths.
"""

from ..runtime import InputError, log
from .engine import Engine

_MOST_ROUNDS = 200
_ELEMENTS = """
SELECT t.side, t.row_number, shingle, ARRAY_LENGTH(t.text_shingles) AS size
FROM near_texts AS t CROSS JOIN UNNEST(t.text_shingles) AS shingle
"""
_PREFIXES = """
SELECT side, row_number, shingle, size FROM (
  SELECT e.side, e.row_number, e.shingle, e.size, c.texts,
    ROW_NUMBER() OVER (PARTITION BY e.side, e.row_number ORDER BY c.texts, e.shingle) AS place
  FROM near_elements AS e
  JOIN (SELECT shingle, COUNT(*) AS texts FROM near_elements GROUP BY shingle) AS c ON e.shingle = c.shingle
)
WHERE texts > 1 AND @threshold * size <= 10000 * (size - place + 1)
"""
_CANDIDATES = """
SELECT DISTINCT a.side AS related_side, a.row_number AS related_number, b.side, b.row_number
FROM near_prefixes AS a JOIN near_prefixes AS b ON a.shingle = b.shingle
WHERE ((a.side = 0 AND b.side = 1) OR (a.side = 2 AND b.side = 2 AND a.row_number < b.row_number))
  AND @threshold * a.size <= 10000 * b.size AND @threshold * b.size <= 10000 * a.size
"""
_PAIRS = """
SELECT row_number, related_number, shared, sizes - shared AS total FROM (
  SELECT c.row_number, c.related_number, COUNT(*) AS shared, MIN(x.size + y.size) AS sizes
  FROM near_candidates AS c
  JOIN near_elements AS x ON x.side = c.related_side AND x.row_number = c.related_number
  JOIN near_elements AS y ON y.side = c.side AND y.row_number = c.row_number AND y.shingle = x.shingle
  GROUP BY c.row_number, c.related_number
)
WHERE shared * 10000 >= @threshold * (sizes - shared)
"""
_COUNT_CANDIDATES = """
SELECT SUM(texts * texts) FROM (SELECT COUNT(*) AS texts FROM near_prefixes GROUP BY shingle)
"""
_MOST_CANDIDATES = 10**10
# A text that is near to no earlier text that is still there is kept, and what is near to it goes.
_GOING = """
SELECT DISTINCT e.row_number FROM near_edges AS e
LEFT JOIN (SELECT DISTINCT row_number FROM near_edges) AS later ON e.related_number = later.row_number
WHERE later.row_number IS NULL
"""
_GONE = "SELECT row_number FROM near_gone UNION ALL SELECT row_number FROM near_going"
_EDGES_LEFT = """
SELECT e.row_number, e.related_number FROM near_edges AS e
LEFT JOIN near_going AS g ON e.row_number = g.row_number
LEFT JOIN near_going AS h ON e.related_number = h.row_number
WHERE g.row_number IS NULL AND h.row_number IS NULL
"""
_JUSTIFIED = """
SELECT p.row_number, p.related_number, p.shared, p.total FROM near_pairs AS p
JOIN near_gone AS g ON p.row_number = g.row_number
LEFT JOIN near_gone AS h ON p.related_number = h.row_number
WHERE h.row_number IS NULL
"""
_MOST_SIMILAR = """
SELECT row_number, related_number, CAST(FLOOR(SAFE_DIVIDE(shared * 100, total)) AS INT64) AS percent FROM (
  SELECT row_number, related_number, shared, total,
    ROW_NUMBER() OVER (PARTITION BY row_number ORDER BY SAFE_DIVIDE(shared, total) DESC, related_number) AS place
  FROM near_pairs
)
WHERE place = 1
"""


class SqlNear:
    """Finds near texts by statements alone; `engine.Near` says what its methods do."""

    def duplicates(self, engine: Engine, threshold: int) -> None:
        """Texts that are near to an earlier one that is kept.

        Raises:
            InputError: If so many texts share their shingles that a statement would compare more than 10¹⁰ pairs, or
                chains of near texts are longer than 200.
        """
        self._pairs(engine, threshold)
        engine.create("near_edges", "SELECT row_number, related_number FROM near_pairs")
        engine.create("near_gone", "SELECT row_number FROM near_edges WHERE row_number < 0")
        for _ in range(_MOST_ROUNDS):
            engine.create("near_going", _GOING)
            if not engine.rows("SELECT COUNT(*) FROM near_going")[0][0]:
                break
            engine.create("near_gone", _GONE)
            engine.create("near_edges", _EDGES_LEFT)
        else:
            raise InputError(
                f"The near duplicates form chains of more than {_MOST_ROUNDS} texts, each near to the one before. "
                "Raise near_duplicate_threshold, or use curate_text, which has no such limit."
            )
        engine.create("near_pairs", _JUSTIFIED)
        engine.create("near", _MOST_SIMILAR)

    def matches(self, engine: Engine, threshold: int) -> None:
        """Texts of side 1 that are near to one of side 0.

        Raises:
            InputError: If so many texts share their shingles that a statement would compare more than 10¹⁰ pairs.
        """
        self._pairs(engine, threshold)
        engine.create("near", _MOST_SIMILAR)

    def _pairs(self, engine: Engine, threshold: int) -> None:
        limit = {"threshold": threshold}
        engine.create("near_elements", _ELEMENTS)
        engine.create("near_prefixes", _PREFIXES, limit)
        candidates = engine.rows(_COUNT_CANDIDATES)[0][0] or 0
        log(f"at most {int(candidates):,} pairs of texts to compare")
        if candidates > _MOST_CANDIDATES:
            raise InputError(
                f"Up to {int(candidates):,} pairs of texts share wording; expected at most {_MOST_CANDIDATES:,}. Texts "
                "of one template do this: remove it from them, raise near_duplicate_threshold, or curate with "
                "curate_text, which compares kept texts only."
            )
        engine.create("near_candidates", _CANDIDATES, limit)
        engine.create("near_pairs", _PAIRS, limit)
