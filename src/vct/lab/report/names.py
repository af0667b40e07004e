"""What a reader calls metrics and samples, in tables and figures alike."""

from vct.lab.records import Label, ProtocolRecord
from vct.lab.runs.samples import split_key
from vct.lab.settings import score
from vct.samplers.base import parse_key


def metric(key: str, protocol: ProtocolRecord) -> Label:
    """The number called `key` in metrics.json; a user's metric says itself what it is called."""
    return (protocol.labels or {}).get(key) or score.label(key)


PRIORS = {"fitted": "fitted prior", "aggregate": "aggregate posterior", "late": "late start"}
"""What samples start from, where it is not N(0, I)."""


def row(coupling: str, prior: str) -> str:
    """What table.csv calls the runs of a coupling that start from a prior."""
    return f"{coupling}/{prior}" if prior in PRIORS else coupling


def label(coupling: str, prior: str) -> str:
    """What a reader calls them."""
    return f"{coupling}, {PRIORS[prior]}" if prior in PRIORS else coupling


def coupling_of(row: str) -> str:
    """The coupling of a row."""
    return row.partition("/")[0]


def is_bound(row: str) -> bool:
    """Whether sampling needed the training data, so that the row ranks with no other."""
    return row.endswith("/aggregate")


def heading(key: str) -> str:
    """Heading of samples: `steps2`, as samples.npz has it, is `2 steps`; else as it stands."""
    prior, schedule = split_key(key)
    found = parse_key(schedule)
    if found is None:
        return key
    sampler, count = found
    text = steps(count) if sampler == "steps" else f"{sampler.capitalize()}, {steps(count)}"
    return label(text, prior)


def steps(count: int) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} step" + ("" if count == 1 else "s")
