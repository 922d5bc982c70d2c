"""Traffic splits: deployed-model id → percentage. Every split that this module returns is empty or sums to 100."""

from collections.abc import Collection, Mapping

Split = dict[str, int]


def normal(split: Mapping[str, int]) -> Split:
    """A split without its zeros: Vertex AI reads a missing id and a zero alike."""
    return {model: percent for model, percent in split.items() if percent > 0}


def with_challenger(before: Mapping[str, int], challenger: str, percent: int) -> Split:
    """The split that gives the challenger its share and leaves the other models theirs of the rest.

    Args:
        before: The split before the rollout, without the challenger; empty where nothing serves yet.
        challenger: Its deployed-model id.
        percent: The challenger's share, 0 to 100. Where nothing else serves there is nothing to divide: it gets all
            or none.
    """
    if not normal(before):
        return {challenger: 100} if percent else {}
    return normal({**scaled(before, 100 - percent), challenger: percent})


def is_step_of(split: Mapping[str, int], before: Mapping[str, int], challenger: str) -> bool:
    """Whether a rollout of the challenger from the split before can have set this split: else somebody else has."""
    return normal(split) == with_challenger(before, challenger, split.get(challenger, 0))


def restricted(split: Mapping[str, int], deployed: Collection[str]) -> Split:
    """The split among those of its models that are deployed; the shares of the others are divided in proportion."""
    left = {model: percent for model, percent in normal(split).items() if model in deployed}
    return scaled(left, 100) if left else {}


def scaled(weights: Mapping[str, int], total: int) -> Split:
    """Divides a total in proportion to weights, by largest remainders (Hamilton's method), so that nothing is lost.

    Args:
        weights: Positive weights, at least one.
        total: What the shares sum to.
    """
    weights = normal(weights)
    sum_of_weights = sum(weights.values())
    shares = {model: weight * total // sum_of_weights for model, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda model: (-(weights[model] * total % sum_of_weights), model))
    for model in by_remainder[: total - sum(shares.values())]:
        shares[model] += 1
    return normal(shares)
