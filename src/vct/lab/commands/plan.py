"""`vct plan SUITE`: print what a suite will cost, from its settings alone."""

from vct.lab.errors import UserError
from vct.lab.estimate.costs import UTILISATION, Device
from vct.lab.estimate.rows import rows
from vct.lab.estimate.text import text
from vct.lab.settings.params import Params


def plan(
    params: Params, name: str, tflops: float | None = None, utilisation: float | None = None
) -> None:
    """Print formula, table and totals.

    Args:
        tflops: peak of the device in TFLOP/s; None takes that of an A100 at each precision.
        utilisation: share of the peak that is reached; None takes the default.

    Raises:
        UserError: if there is no such suite, or if a number is out of range.
    """
    if tflops is not None and not 0 < tflops < 1e9:
        raise UserError(f"--tflops: {tflops:g} is no peak of a device; give TFLOP/s, such as 156.")
    share = UTILISATION if utilisation is None else utilisation
    if not 0 < share <= 1:
        raise UserError(f"--utilisation: {share:g} is no share; give one above 0 and up to 1.")
    device = Device(tflops, share)
    print(text(name, rows(params, name, device), device))
