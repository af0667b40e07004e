"""Metrics of features without files: statistics are computed when they are asked for."""

from vct.lab.metrics.features import Features
from vct.lab.metrics.frechet import Frechet
from vct.lab.metrics.statistics import compute


def frechet(reference, extractor, extras=()):
    """The metric with this reference; its numbers end in `_net`."""
    features = Features(extractor)
    return Frechet(
        reference, "net", features, lambda what: compute(what, reference, features), extras
    )


def measured(samples, reference, extractor, extras=()):
    """Its numbers, without `_net`."""
    found = frechet(reference, extractor, extras)(samples)
    return {name.removesuffix("_net"): value for name, value in found.items()}


def distance(samples, reference, extractor):
    """The distance alone."""
    return frechet(reference, extractor).rank(samples)
