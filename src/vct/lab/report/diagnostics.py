"""The second table of a suite: why its scores are what they are."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vct.lab import records, versions
from vct.lab.errors import UserError
from vct.lab.files.layout import DIAGNOSTICS_FILE, RunId
from vct.lab.records import DiagnosticsRecord
from vct.lab.report.blocks import EMPTY
from vct.lab.report.collect import ExperimentRows
from vct.lab.report.summary import Spread
from vct.lab.runs.provenance import checked_scores

COLUMNS = ["experiment", "dataset", "coupling", "name", "t", "mean", "sd", "n"]

SECTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "Pairs and noise": (
        "Transport cost: what is left of the saving of an optimal plan (0 optimal, 1 as pairs of "
        "chance). Straightness: mean over ln t of what x_t leaves open of the path's direction, 0 "
        "where no paths cross; exact where z is Gaussian given x, else a bound by regression that "
        "many dimensions loosen. Noise: mean variance of z, and KL of the Gaussian that fits it "
        "from N(0, I), in nats per dimension. p: kernel two-sample tests of z against the "
        "start of sampling (median over seeds).",
        {
            "transport_share": "transport cost",
            "straightness": "straightness",
            "straightness_bound": "straightness, bound",
            "noise_variance": "variance of noise",
            "noise_kl": "KL of noise",
            "mmd_standard_p": "p against N(0, I)",
            "mmd_fitted_p": "p against the fitted prior",
        },
    ),
    "Gradients": (
        "Trace of the covariance of a minibatch's gradient over the squared norm of its mean, at "
        "each run's own weights and, for the network, at the weights of the run with independent "
        "noise of the same seed; and the trace alone, for where the mean gradient is lost in noise "
        "(the ratio has no value there).",
        {
            "gradient_noise": "noise, network",
            "gradient_noise_encoder": "noise, encoder",
            "gradient_noise_common": "noise, network at common weights",
            "gradient_trace": "trace, network",
            "gradient_trace_common": "trace, network at common weights",
        },
    ),
    "Samples": (
        "Nearer to training data: share of samples, one half without memorisation, and the "
        "permutation test's p (median over seeds). Chance of sampling: deviation of the score "
        "over seeds of sampling, with the same weights. Mid times are chosen on one half of the "
        "seeds of sampling, scores are the other half's.",
        {
            "memorisation": "nearer to training data",
            "memorisation_p": "p",
            "sampling_sd": "chance of sampling, fewest steps",
            "score_at_given_2": "2 steps, mid time as given",
            "score_at_chosen_2": "2 steps, chosen",
            "mid_time_2": "chosen mid time",
            "score_at_chosen_3": "3 steps, chosen",
            "score_at_chosen_4": "4 steps, chosen",
        },
    ),
}
_MEDIAN = ("_p",)


def read(
    experiments: Sequence[ExperimentRows],
    settings: Mapping[str, Mapping[str, Any]],
    finished: bool = False,
) -> pd.DataFrame:
    """Numbers and curves of all runs: experiment, dataset, coupling, seed, name, t (NaN for
    numbers) and value. Of runs that git keeps, those that were diagnosed so.

    Args:
        settings: of the diagnostics, by experiment.
        finished: leave out the runs that were not diagnosed, or not so.

    Raises:
        UserError: if a file is missing, damaged, or of other samples than were scored, of other
            settings or of another version.
    """
    rows = []
    for experiment in experiments:
        given = {k: v for k, v in settings[experiment.experiment].items() if k != "seeds"}
        asked = given, versions.DIAGNOSTICS
        for run in experiment.runs():
            path = run.directory / DIAGNOSTICS_FILE
            may_lack = finished or run.root != RunId.root
            if may_lack and not path.exists():
                continue
            record = records.read(DiagnosticsRecord, path)
            _, protocol = checked_scores(run, ("config.json",))
            if not record.is_of(protocol) or (record.settings, record.version) != asked:
                if may_lack:
                    continue
                raise UserError(
                    f"{path} is of other samples than protocol.json beside it, of other settings "
                    f"than params.yaml, or of another version; make it again: vct diagnose {run}"
                )
            of_run = (experiment.experiment, experiment.dataset, run.coupling, run.seed)
            rows += [(*of_run, name, math.nan, value) for name, value in record.numbers.items()]
            for name, curve in record.curves.items():
                points = zip(curve.t, curve.value, strict=True)
                rows += [(*of_run, name, t, value) for t, value in points]
    columns = ["experiment", "dataset", "coupling", "seed", "name", "t", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"t": float, "value": float})


def tidy(found: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment, coupling, name and t, with COLUMNS: mean and spread over seeds."""
    rows = []
    # Levels of noise of gradients are drawn by each seed, and averaged in their order.
    order = found.groupby(["experiment", "coupling", "seed", "name"]).cumcount()
    place = found["t"].fillna(0.0).where(found["name"] != "gradient_noise", order)
    keys = ["experiment", "dataset", "coupling", "name", "place"]
    for names, group in found.assign(place=place).groupby(keys, sort=False):
        spread = Spread(tuple(group["value"]))
        t = group["t"].mean()
        rows.append((*names[:-1], t, spread.mean, spread.sd, spread.n))
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class Measured:
    """Numbers of an experiment: headings, and by coupling its cells."""

    experiment: str
    headings: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """Numbers of one kind, and in words what they are."""

    title: str
    words: str
    tables: tuple[Measured, ...]


def sections(found: pd.DataFrame, experiments: Iterable[str]) -> list[Section]:
    """The numbers, section by section and experiment by experiment."""
    numbers = found[found["t"].isna()]
    by_name = {name: numbers[numbers["experiment"] == name] for name in experiments}
    made = []
    for title, (words, columns) in SECTIONS.items():
        tables = (_measured(name, mine, columns) for name, mine in by_name.items())
        made.append(Section(title, words, tuple(each for each in tables if each.headings)))
    return made


def _measured(experiment: str, numbers: pd.DataFrame, columns: Mapping[str, str]) -> Measured:
    there = {name: label for name, label in columns.items() if name in set(numbers["name"])}
    rows = {
        str(coupling): tuple(_cell(name, mine.loc[mine["name"] == name, "value"]) for name in there)
        for coupling, mine in numbers.groupby("coupling", sort=False)
    }
    return Measured(experiment, tuple(there.values()), rows)


def markdown(found: pd.DataFrame, labels: Mapping[str, Mapping[str, str]]) -> str:
    """The sections as text.

    Args:
        labels: of the couplings, by experiment.
    """
    parts = []
    for section in sections(found, labels):
        parts.append(f"### {section.title}\n\n{section.words}")
        parts += [_table(each, labels[each.experiment]) for each in section.tables]
    return "\n\n".join(parts) + "\n"


def _table(measured: Measured, couplings: Mapping[str, str]) -> str:
    lines = [[measured.experiment, *measured.headings], ["---"] + ["---:"] * len(measured.headings)]
    lines += [
        [label, *measured.rows[coupling]]
        for coupling, label in couplings.items()
        if coupling in measured.rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(name: str, values: pd.Series) -> str:
    if values.empty or values.isna().any():
        return EMPTY
    if name.endswith(_MEDIAN):
        return f"{values.median():.2g} ({len(values)})"
    spread = Spread(tuple(values))
    sd = f" ± {spread.sd:.2g}" if spread.n > 1 else ""
    return f"{spread.mean:.3g}{sd} ({spread.n})"
