"""Samplers: from noise to data in few steps, or along an ODE. One method, one file."""

from vct.lazy import exports

__getattr__ = exports(
    globals(),
    {
        "vct.samplers.base": "Sampler",
        "vct.samplers.few_step": "FewStep",
        "vct.samplers.heun": "Heun",
        "vct.samplers.euler": "Euler",
    },
)
