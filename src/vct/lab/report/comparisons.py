"""What a suite decides: rows against rows, by seed, at the endpoint declared before the runs.

A row is compared with another, or with the best of several. To be better than the best is to be
better than each, so that p-value is the largest of theirs (an intersection-union test): choosing
the rival by its score costs nothing. All p-values of a suite are corrected together (Holm).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from vct.lab.errors import UserError
from vct.lab.report import names
from vct.lab.report.blocks import Place
from vct.lab.report.collect import Collected
from vct.lab.report.paired import LEVEL, Paired, holm
from vct.lab.report.protocol import differing
from vct.lab.settings.suite import SuiteSettings

BASE = "independent"

COLUMNS = [
    "experiment",
    "metric",
    "samples",
    "row",
    "opponents",
    "against",
    "best",
    "n",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
]


@dataclass(frozen=True)
class Comparison:
    """One declared comparison: `row` minus `against`, by the seeds of both; negative is better.

    Args:
        against: a row, or several: the best of them counts.
        opponents: the experiment whose rows they are: this one, or one of equal time.
        score: mean of `row` over its seeds, so turned that less is better.
    """

    experiment: str
    metric: str
    samples: str
    row: str
    opponents: str
    against: tuple[str, ...]
    pairs: tuple[Paired, ...]
    score: float

    @property
    def best(self) -> int:
        """Which of `against` is the best, by its mean."""
        return max(range(len(self.pairs)), key=lambda index: self.pairs[index].mean)

    @property
    def p_value(self) -> float:
        """That `row` differs from the one, or is better than each."""
        values = [pair.p_value() for pair in self.pairs]
        if len(values) == 1:
            return values[0]
        better = [pair.mean < 0 for pair in self.pairs]
        return max(p if ok else 1.0 for p, ok in zip(values, better, strict=True))

    @property
    def is_better(self) -> bool:
        """Whether `row` has the lower mean, or the lowest."""
        return all(pair.mean < 0 for pair in self.pairs)

    @property
    def is_possible(self) -> bool:
        """Whether there are two seeds at least of all rows."""
        return all(pair.n > 1 for pair in self.pairs)


def comparisons(collected: Collected, suite: SuiteSettings) -> list[Comparison]:
    """All comparisons that a suite declares, experiment by experiment, also those for which there
    are too few runs: their p is 1, and they count in the correction.

    Raises:
        UserError: if experiments of equal time were sampled or scored otherwise.
    """
    if suite.primary is None:
        return []
    return [
        _comparison(collected, name, suite.primary, *declared)
        for name in collected.declared
        if _is_ranked(collected, name)
        for declared in _declared(collected, name, suite)
    ]


def _declared(
    collected: Collected, experiment: str, suite: SuiteSettings
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Row, experiment of its rivals, and the rivals."""
    for each in suite.comparisons:
        opponents = suite.opponents(experiment, each)
        if opponents and each.coupling in collected.declared[experiment].couplings:
            yield each.row, opponents, tuple(each.against)
    if suite.comparisons or experiment not in collected.experiments:
        return
    for row in collected.rows(experiment):
        best = tuple(each for each in suite.rivals if each != row)
        base = (BASE,) if row != BASE else ()
        for against in filter(None, dict.fromkeys([base, best])):
            if not names.is_bound(row):
                yield row, experiment, against


def _is_ranked(collected: Collected, experiment: str) -> bool:
    """Whether somebody says what is better; unknown where there are no runs."""
    sign = _sign(collected, experiment)
    return sign is None or sign != 0


def _sign(collected: Collected, experiment: str) -> float | None:
    protocol = collected.protocols.get(experiment)
    if protocol is None:
        return None
    label = names.metric(protocol.metrics[0], protocol)
    return 1.0 if label.lower_is_better else -1.0 if label.higher_is_better else 0.0


def _comparison(
    collected: Collected,
    experiment: str,
    primary: str,
    row: str,
    opponents: str,
    against: tuple[str, ...],
) -> Comparison:
    _check_comparable(collected, experiment, opponents, primary)
    mine = _by_seed(collected, experiment, primary, row)
    others = [_by_seed(collected, opponents, primary, rival) for rival in against]
    pairs = tuple(_paired(mine, other) for other in others)
    protocol = collected.protocols.get(experiment)
    metric = "" if protocol is None else protocol.metrics[0]
    mean = fmean(mine.values()) if mine else math.nan
    return Comparison(experiment, metric, primary, row, opponents, against, pairs, mean)


def _check_comparable(collected: Collected, one: str, other: str, primary: str) -> None:
    """Refuse scores that mean something else; one of both may have no runs yet."""
    mine, others = (collected.protocols.get(name) for name in (one, other))
    if mine is None or others is None:
        return
    if found := differing(mine, others, primary):
        raise UserError(
            f"{one} and {other} are compared in equal time, and their scores are of other "
            f"protocols (they differ in {', '.join(found)}); sample and score both alike, or take "
            "the pair out of the suite's matched."
        )


def winners(found: Sequence[Comparison], level: float = LEVEL) -> set[Place]:
    """Where the rows stand that have the lowest mean of those compared in their experiment, and are
    better in all their comparisons, at `level` after Holm's correction over all of them."""
    adjusted = holm([each.p_value for each in found])
    mine: dict[Place, list[bool]] = {}
    best: dict[str, tuple[float, Place]] = {}
    for each, p in zip(found, adjusted, strict=True):
        place = (each.experiment, each.row, each.metric, each.samples)
        mine.setdefault(place, []).append(each.is_better and p < level)
        ranked = each.score, place
        if math.isfinite(each.score):
            best[place[0]] = min(best.get(place[0], ranked), ranked)
    return {place for _, place in best.values() if all(mine[place])}


def _by_seed(collected: Collected, experiment: str, samples: str, row: str) -> dict[int, float]:
    """Values of an experiment's first metric for a row by seed, less being better."""
    protocol = collected.protocols.get(experiment)
    if protocol is None:
        return {}
    frame, metric = collected.frame, protocol.metrics[0]
    mine = frame[
        (frame["experiment"] == experiment)
        & (frame["metric"] == metric)
        & (frame["samples"] == samples)
        & (frame["coupling"] == row)
    ]
    values = (_sign(collected, experiment) or 1.0) * mine["value"]
    return dict(zip(mine["seed"], values, strict=True))


def _paired(one: dict[int, float], other: dict[int, float]) -> Paired:
    return Paired(tuple(one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())))


def frame(found: Sequence[Comparison]) -> pd.DataFrame:
    """One row per comparison, with COLUMNS; `p_holm` is corrected over all of them."""
    adjusted = holm([each.p_value for each in found])
    rows = []
    for each, p_holm in zip(found, adjusted, strict=True):
        pair = each.pairs[each.best]
        low, high = pair.interval()
        rows.append(
            {
                "experiment": each.experiment,
                "metric": each.metric,
                "samples": each.samples,
                "row": each.row,
                "opponents": each.opponents,
                "against": " ".join(each.against),
                "best": each.against[each.best],
                "n": pair.n,
                "difference": pair.mean,
                "low": low,
                "high": high,
                "p": each.p_value,
                "p_holm": p_holm,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)
