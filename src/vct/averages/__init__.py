"""Averages of weights along training. One method, one file."""

from vct.lazy import exports

__getattr__ = exports(
    globals(),
    {
        "vct.averages.ema": "Average ConstantAverage PowerAverage",
        "vct.averages.post_hoc": "TrackedAverages",
    },
)
