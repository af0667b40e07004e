"""In which arithmetic networks are computed; all else is float32, and sums of losses float64.

`tf32` holds for all products of a GPU, those that a plan of transport is made from too.
"""

import torch
from torch import nn


def set_float32(precision: str) -> None:
    """What a GPU makes of products of float32: `tf32` rounds their factors to 10 bits.

    cuDNN would do so unasked. The choice of algorithms is fixed too, so that a training on the same
    GPU gives the same bits.
    """
    # torch's older names: torch-fidelity uses them, and torch refuses a mixture with newer ones.
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True


def prepare(network: nn.Module, precision: str, compiled: bool, device: torch.device) -> None:
    """Have `network` computed in bfloat16 (autocast, its weights stay float32), or compiled.

    Neither changes names or values of its parameters. A copy of a prepared module computes with the
    original's weights: prepare copies, do not copy what is prepared.
    """
    if precision == "bfloat16":
        network.forward = torch.autocast(device.type, torch.bfloat16)(network.forward)
    if compiled:
        # Student and teacher are two compiled graphs; with random numbers of their own they would
        # have different dropout masks.
        torch._inductor.config.fallback_random = True
        network.compile()
