"""Which train rows are examples in prompts: few, balanced over the labels, and none that a test row resembles."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from statistics import median

from ..runtime import InputError

LONGEST_RATIO = 2


class Shots:
    """The examples of every prompt: the same for all, so that servers can cache them, but never a row's own text.

    Labels take turns, the most frequent first; within a label a hash of the text decides, so that the choice stays when
    other rows come or go. Texts of more than twice the median length are left out: they would stand in every prompt.

    Args:
        texts: Normalised train texts.
        labels: Their labels.
        excluded: Rows that must not be shown.
        count: How many examples a prompt gets.
        seed: Another seed gives other examples.

    Attributes:
        variants: Rows in the order in which they are shown: first the usual examples, then what takes their places in
            prompts for a text that is one of them.

    Raises:
        InputError: If there are too few different texts.
    """

    def __init__(
        self, texts: Sequence[str], labels: Sequence[str], excluded: Collection[int], count: int, seed: int
    ) -> None:
        self._texts, self._count = texts, count
        self.variants: list[list[int]] = [[]]
        self._variant_of: dict[str, int] = {}
        if not count:
            return
        longest = LONGEST_RATIO * median(map(len, texts))
        barred = {texts[row] for row in excluded}
        rows = [row for row, text in enumerate(texts) if text.strip() and len(text) <= longest and text not in barred]
        queues = self._queues(rows, labels, seed)
        found = sum(map(len, queues))
        if found <= count:
            raise InputError(
                f"shots is {count}, but only {found:,} of {len(texts):,} train rows can be shown: texts differ, are at "
                f"most {LONGEST_RATIO} times as long as the median ({longest:,.0f} characters) and unlike all test "
                "texts; expected one more than shots, for a row that is shown itself. Lower shots, or give more rows."
            )
        self.variants = [_take_turns(queues, count)]
        for shown in self.variants[0]:
            text = texts[shown]
            others = [[row for row in queue if texts[row] != text] for queue in queues]
            self._variant_of[text] = len(self.variants)
            self.variants.append(_take_turns(others, count))

    def variant(self, text: str) -> int:
        """Which of the variants stands in the prompt for a row with this normalised text."""
        return self._variant_of.get(text, 0)

    def _queues(self, rows: Sequence[int], labels: Sequence[str], seed: int) -> list[list[int]]:
        """For the most frequent labels the rows to take, first to last: enough for all examples, and one to replace."""
        frequency = Counter(labels[row] for row in rows)
        order = sorted(frequency, key=lambda label: (-frequency[label], label))[: self._count + 1]
        of_label: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            of_label[labels[row]].append(row)
        taken: set[str] = set()
        queues = []
        for label in order:
            queue: list[int] = []
            for row in sorted(of_label[label], key=lambda row: (_digest(self._texts[row], seed), row)):
                if len(queue) <= self._count and self._texts[row] not in taken:
                    taken.add(self._texts[row])
                    queue.append(row)
            queues.append(queue)
        return queues


def _digest(text: str, seed: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(16, "little", signed=True)).digest()


def _take_turns(queues: Sequence[Sequence[int]], count: int) -> list[int]:
    longest = max(map(len, queues))
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)][:count]
