"""The times of EDM's sampler; free of torch, so that scoring can state them."""


def heun_times(steps: int, t_max: float, t_min: float, rho: float) -> list[float]:
    """T = t_0 > ... > t_{steps-1} = t_min > t_steps = 0 (EDM, arXiv 2206.00364, eq. 5).

    `steps` is at least 2.
    """
    high, low = t_max ** (1 / rho), t_min ** (1 / rho)
    inner = [(high + i / (steps - 1) * (low - high)) ** rho for i in range(1, steps - 1)]
    return [t_max, *inner, t_min, 0.0]
