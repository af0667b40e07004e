"""What a reader calls metrics and samples, in tables and figures alike."""

from vct.lab.records import Label, ProtocolRecord
from vct.lab.settings.score import label
from vct.samplers.base import parse_key


def metric(key: str, protocol: ProtocolRecord) -> Label:
    """The number called `key` in metrics.json; a user's metric says itself what it is called."""
    return (protocol.labels or {}).get(key) or label(key)


def heading(key: str) -> str:
    """Heading of samples: `steps2`, as samples.npz has it, is `2 steps`; else as it stands."""
    found = parse_key(key)
    if found is None:
        return key
    sampler, count = found
    return steps(count) if sampler == "steps" else f"{sampler.capitalize()}, {steps(count)}"


def steps(count: int) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} step" + ("" if count == 1 else "s")
