"""What the comparisons of a suite show, in words: whether a difference is more than noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vct.lab.report import names
from vct.lab.report.collect import Collected
from vct.lab.report.comparisons import BASE, Comparison
from vct.lab.report.paired import LEVEL, Paired, holm

State = Literal["better", "worse", "open", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """One comparison: its numbers, what they show, and the sentence that says so.

    Args:
        row, against: what a reader calls the rows that are compared.
        reach: the largest end of an interval of its experiment, for a common scale.
    """

    comparison: Comparison
    row: str
    against: str
    p_holm: float
    reach: float
    state: State
    words: str

    @property
    def coupling(self) -> str:
        """The coupling of the row."""
        return names.coupling_of(self.comparison.row)

    @property
    def pair(self) -> Paired:
        """Differences from the rival, or from the best of them."""
        return _nearest(self.comparison)

    @property
    def numbers(self) -> str:
        """`-2.74 [-6.64, +1.16]`, negative where the row is better."""
        low, high = self.pair.interval()
        return f"{self.pair.mean:+.3g} [{low:+.3g}, {high:+.3g}]"

    def place(self, value: float) -> float:
        """Where a difference lies, in per cent of a scale from -reach to reach."""
        return 50 + 50 * value / self.reach if self.reach else 50.0

    @property
    def interval(self) -> tuple[float, float, float] | None:
        """Places of the lower end, the mean and the upper end."""
        low, high = self.pair.interval()
        ends = low, self.pair.mean, high
        if not all(map(math.isfinite, ends)):
            return None
        return self.place(low), self.place(ends[1]), self.place(high)


def verdicts(found: Sequence[Comparison], collected: Collected) -> list[Verdict]:
    """A verdict on each comparison, in their order; Holm's correction is over all of them."""
    ends: dict[str, list[float]] = {}
    for each in found:
        ends.setdefault(each.experiment, []).extend(map(abs, _nearest(each).interval()))
    reach = {name: max(filter(math.isfinite, values), default=0.0) for name, values in ends.items()}
    adjusted = holm([each.p_value for each in found])
    return [
        _verdict(each, p, reach[each.experiment], collected)
        for each, p in zip(found, adjusted, strict=True)
    ]


def summary(found: Sequence[Verdict], endpoint: bool = False) -> str:
    """What all comparisons together show.

    Args:
        endpoint: whether the suite declares one.
    """
    if not found:
        why = "has nothing to compare" if endpoint else "declares no endpoint"
        return (
            f"The suite {why}, so nothing is tested: the table holds what was found, with its "
            "spread over the seeds."
        )
    shown = sum(each.state in ("better", "worse") for each in found)
    if len(found) == 1:
        more = "more" if shown else "no more"
        alone = f"The comparison that the suite declares shows {more} than noise."
        return alone + ("" if shown else _too_few(found))
    which = f"{shown or 'None'} of {len(found)} comparisons that the suite declares"
    if not shown:
        return f"{which} shows more than noise.{_too_few(found)}"
    show = "shows" if shown == 1 else "show"
    rest = "" if shown == len(found) else " Of the others nothing is shown."
    return f"{which} {show} more than noise, after Holm's correction for their number.{rest}"


def _too_few(found: Sequence[Verdict]) -> str:
    """Whether scores could have shown anything with so few seeds."""
    seeds = max(each.pair.n for each in found)
    needed = next(n for n in range(2, 1000) if len(found) * 2.0 ** (1 - n) < LEVEL)
    if seeds < 2:
        return " There are not two seeds of any two rows yet."
    if 2.0 ** (1 - seeds) < LEVEL:
        return ""
    return (
        f" With {seeds} seeds no p can fall below {2.0 ** (1 - seeds):.2g}, whatever the scores: "
        f"it takes {needed} for the clearest difference to hold."
    )


def _nearest(comparison: Comparison) -> Paired:
    return comparison.pairs[comparison.best]


def _verdict(each: Comparison, p: float, reach: float, collected: Collected) -> Verdict:
    row = _called(each.row, each.experiment, collected)
    rivals = [_called(name, each.opponents, collected) for name in each.against]
    longer = f" ({each.opponents})" if each.opponents != each.experiment else ""
    best = rivals[each.best] + longer
    state = _state(each, p)
    against = best if len(rivals) == 1 else f"the best of the others, {best}"
    if state == "unknown":
        against = " and ".join(rivals) + longer
    named = best if len(rivals) == 1 else f"each of {', '.join(rivals)}{longer}"
    words = _words(state, row, against, named, _nearest(each))
    return Verdict(each, row, against, p, reach, state, words)


def _state(each: Comparison, p: float) -> State:
    if not each.is_possible:
        return "unknown"
    if p >= LEVEL:
        return "open"
    return "better" if each.is_better else "worse"


def _words(state: State, row: str, against: str, named: str, pair: Paired) -> str:
    if state == "unknown":
        return f"{row} against {against}"
    low, high = pair.interval()
    if state == "better":
        least = f", the nearest of them by {-pair.mean:.3g}" if named != against else ""
        amount = least or f" by {-pair.mean:.3g}"
        return f"{row} beats {named}{amount} (95 %: {-high:.3g} to {-low:.3g})."
    if state == "worse":
        return f"{row} is worse than {against} by {pair.mean:.3g} (95 %: {low:.3g} to {high:.3g})."
    if not math.isfinite(pair.mean):
        return f"{row} against {against}: a score is not finite, so nothing is shown."
    return f"{row} against {against}: nothing is shown (95 %: {_range(low, high)})."


def _range(low: float, high: float) -> str:
    """`0.7 better to 1.2 worse`; of two differences on one side, the smaller first."""
    near, far = sorted((low, high), key=abs)
    sides = ["better" if end < 0 else "worse" for end in (low, high)]
    if sides[0] == sides[1]:
        return f"{abs(near):.3g} to {abs(far):.3g} {sides[0]}"
    return f"{abs(low):.3g} better to {abs(high):.3g} worse"


def _called(row: str, experiment: str, collected: Collected) -> str:
    """What a sentence calls a row, also one without runs."""
    if row == BASE:
        return "independent noise"
    coupling, _, prior = row.partition("/")
    labels = collected.declared[experiment].couplings
    return names.label(labels.get(coupling, coupling), prior)
