"""Mean and spread over seeds."""

import math
import statistics
from dataclasses import dataclass

import pandas as pd

from vct.lab.records import ProtocolRecord
from vct.lab.report.collect import Collected
from vct.lab.report.protocol import sha256
from vct.samplers.base import parse_key

ROW = ["experiment", "dataset", "kernel", "objective", "coupling"]
ORIGIN = [
    "num_samples",
    "extractor_sha256",
    "reference_sha256",
    "settings_sha256",
    "protocol_sha256",
    "versions",
    "samples_sha256",
]


@dataclass(frozen=True)
class Spread:
    """Scores of one row over its seeds.

    `mean` is NaN if any score is not finite: leaving that seed out would flatter the row. `sd` is
    the sample standard deviation (ddof 1), NaN for a single seed.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def finite(self) -> int:
        return sum(math.isfinite(value) for value in self.values)

    @property
    def mean(self) -> float:
        return statistics.mean(self.values) if self.finite == self.n else math.nan

    @property
    def sd(self) -> float:
        if self.n < 2 or self.finite < self.n:
            return math.nan
        return statistics.stdev(self.values)


def spreads(frame: pd.DataFrame) -> dict[tuple[str, str, str, str], Spread]:
    """Scores over the seeds, by experiment, coupling, metric and key of the samples."""
    found: dict[tuple[str, str, str, str], list[float]] = {}
    places = zip(
        *(frame[key] for key in ("experiment", "coupling", "metric", "samples")), strict=True
    )
    for place, value in zip(places, frame["value"], strict=True):
        found.setdefault(place, []).append(value)
    return {place: Spread(tuple(values)) for place, values in found.items()}


def tidy(collected: Collected) -> pd.DataFrame:
    """One row per experiment, coupling, metric and steps: what table.csv holds.

    Columns: ROW, metric, steps, mean, sd, n, floor, one column `seed<k>` per seed, then what the
    numbers depend on: num_samples, the hashes of extractor, reference data, settings of training
    and protocol (see `protocol.sha256`), the versions of the stages, and samples_sha256, which
    holds the hash of each seed's samples.npz in the order of the seeds (`vct show` goes on there).
    Where some samples come from another sampler than the few-step one, `sampler` stands before
    steps.
    """
    frame = collected.frame
    rows = []
    keys = [*ROW, "metric", "samples"]
    for names, group in frame.groupby(keys, sort=False):
        first = group.iloc[0]
        spread = Spread(tuple(group["value"]))
        floor = collected.floors[first["experiment"]].scores.get(first["metric"])
        sampler, steps = parse_key(first["samples"]) or ("", None)
        rows.append(
            {
                **dict(zip(keys, names, strict=True)),
                "sampler": sampler,
                "steps": steps,
                "mean": spread.mean,
                "sd": spread.sd,
                "n": spread.n,
                "floor": math.nan if floor is None else floor,
                **{f"seed{row.seed}": row.value for row in group.itertuples()},
                **_origin(collected.protocols[first["experiment"]], group),
            }
        )
    seeds = [f"seed{seed}" for seed in sorted(set(frame["seed"]))]
    # The few-step sampler goes without saying.
    drawn = ["sampler"] if any(row["sampler"] not in ("steps", "") for row in rows) else []
    columns = [*ROW, "metric", *drawn, "steps", "mean", "sd", "n", "floor", *seeds, *ORIGIN]
    return pd.DataFrame(rows, columns=columns).astype({"steps": "Int64", "num_samples": "Int64"})


def _origin(protocol: ProtocolRecord, group: pd.DataFrame) -> dict[str, object]:
    return {
        "num_samples": protocol.num_samples,
        "extractor_sha256": protocol.extractor.sha256 if protocol.extractor else None,
        "reference_sha256": protocol.reference.sha256,
        "settings_sha256": group.iloc[0]["settings_sha256"],
        "protocol_sha256": sha256(protocol),
        "versions": group.iloc[0]["versions"],
        "samples_sha256": " ".join(group["samples_sha256"]),
    }
