"""What a suite decides: rows against rows, by seed, at the endpoint declared before the runs.

Every row of an experiment (a coupling, from a prior) is compared with independent noise and with
the best of the other declared rivals. To be better than the best is to be better than each, so that
p-value is the largest of theirs (an intersection-union test): choosing the rival by its score costs
nothing. All p-values of a suite are corrected together (Holm).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from vct.lab.report import names
from vct.lab.report.blocks import Place
from vct.lab.report.collect import Collected
from vct.lab.report.paired import LEVEL, Paired, holm

BASE = "independent"

COLUMNS = [
    "experiment",
    "metric",
    "samples",
    "row",
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
        score: mean of `row` over its seeds, so turned that less is better.
    """

    experiment: str
    metric: str
    samples: str
    row: str
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


def comparisons(collected: Collected, primary: str, rivals: Sequence[str]) -> list[Comparison]:
    """All comparisons that a suite declares, in the order of its rows, also those for which there
    are too few runs: their p is 1, and they count in the correction.

    Args:
        primary: key of the samples that decide, such as `steps1`; the metric is the first of each
            experiment's protocol.
        rivals: rows whose best is to be beaten.
    """
    found = []
    for experiment in collected.experiments:
        protocol = collected.protocols[experiment]
        metric = protocol.metrics[0]
        label = names.metric(metric, protocol)
        if not (label.lower_is_better or label.higher_is_better):
            continue  # a user's number, of which nobody says what is better
        sign = 1.0 if label.lower_is_better else -1.0
        scores = _by_seed(collected.frame, experiment, metric, primary, sign)
        rows = [row for row in collected.rows(experiment) if row in scores]
        for row in rows:
            if names.is_bound(row):
                continue
            mean = fmean(scores[row].values())
            best = tuple(each for each in rivals if each != row)
            base = (BASE,) if row != BASE else ()
            for against in filter(None, dict.fromkeys([base, best])):
                pairs = tuple(_paired(scores[row], scores.get(other, {})) for other in against)
                place = experiment, metric, primary, row
                found.append(Comparison(*place, against, pairs, mean))
    return found


def winners(found: Sequence[Comparison], level: float = LEVEL) -> set[Place]:
    """Where the rows stand that are better in all their comparisons, at `level` after Holm's
    correction over all of them; of several in an experiment the one with the lowest mean."""
    adjusted = holm([each.p_value for each in found])
    mine: dict[Place, list[tuple[bool, float]]] = {}
    for each, p in zip(found, adjusted, strict=True):
        place = (each.experiment, each.row, each.metric, each.samples)
        verdict = each.is_better and p < level, each.score
        mine.setdefault(place, []).append(verdict)
    best: dict[str, tuple[float, Place]] = {}
    for place, verdicts in mine.items():
        if all(ok for ok, _ in verdicts):
            ranked = verdicts[0][1], place
            best[place[0]] = min(best.get(place[0], ranked), ranked)
    return {place for _, place in best.values()}


def _by_seed(
    frame: pd.DataFrame, experiment: str, metric: str, samples: str, sign: float
) -> dict[str, dict[int, float]]:
    """Scores by row and seed, less being better."""
    mine = frame[
        (frame["experiment"] == experiment)
        & (frame["metric"] == metric)
        & (frame["samples"] == samples)
    ]
    return {
        str(row): dict(zip(part["seed"], sign * part["value"], strict=True))
        for row, part in mine.groupby("coupling", sort=False)
    }


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
