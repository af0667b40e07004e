"""What a reader calls metrics and samples, in tables and figures alike."""

from dataclasses import dataclass, replace

from vct.lab.runs import samples


@dataclass(frozen=True)
class Metric:
    """What a number is called, and whether less or more of it is better, if either.

    `decimals` is the most that a table shows after the point.
    """

    label: str
    lower_is_better: bool = False
    heading: str = ""
    higher_is_better: bool = False
    decimals: int = 3

    @property
    def short(self) -> str:
        """The label for a narrow place."""
        return self.heading or self.label


_METRICS = {
    "w2": Metric("2-Wasserstein distance", True),
    "mass_outside": Metric("mass outside the modes", True),
    "aggregate_variance": Metric("aggregate variance"),
    "fid_inception": Metric("FID", True),
    "kid_inception": Metric("KID", True, decimals=5),
}

_OF_FEATURES = {
    "fid": Metric("Fréchet distance", True, "FD"),
    "kid": Metric("kernel distance", True, "KD", decimals=5),
    "precision": Metric("precision", higher_is_better=True),
    "recall": Metric("recall", higher_is_better=True),
    "isc": Metric("Inception Score", higher_is_better=True),
}


def metric(key: str) -> Metric:
    """The metric called `key` in metrics.json.

    Only Inception features make a Fréchet distance an FID, and a kernel distance a KID; with others
    the label names them.
    """
    if key in _METRICS:
        return _METRICS[key]
    kind, _, extractor = key.partition("_")
    if kind not in _OF_FEATURES or not extractor:
        return Metric(key.replace("_", " "))
    found = _OF_FEATURES[kind]
    if extractor == "inception":
        return found
    name = extractor.replace("_", " ")
    return replace(
        found, label=f"{found.label} ({name} features)", heading=f"{found.short} ({name})"
    )


def heading(key: str) -> str:
    """Heading of samples: `steps2`, as samples.npz has it, is `2 steps`; else as it stands."""
    found = samples.parse_key(key)
    if found is None:
        return key
    sampler, count = found
    return steps(count) if sampler == "steps" else f"{sampler.capitalize()}, {steps(count)}"


def steps(count: int) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} step" + ("" if count == 1 else "s")
