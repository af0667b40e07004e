"""A training step asks no tensor for its values, which would make a GPU wait."""

from collections import Counter

import pytest
import torch
from support import COUPLINGS, UNET, dataset, run_settings
from torch.utils._python_dispatch import TorchDispatchMode

from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

GC = {"kind": "generator_augmented", "noise": "recouple"}
KINDS = {
    **{name: COUPLINGS[name] for name in ("independent", "ot", "sinkhorn", "variational")},
    "pooled-ot": {"kind": "ot", "pool": 2},
    "c2ot": {"kind": "c2ot"},
    "weighted": {"kind": "weighted"},
    "gc-vc": {**GC, "base": COUPLINGS["variational"]},
    "moments": {**COUPLINGS["variational"], "prior": "moments"},
}
WAITING = {
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "nonzero_numpy",
    "_unique2",
    "unique_dim",
}
"""What needs values on the host; an index of booleans, and a copy to the host, are seen below."""


class Waits(TorchDispatchMode):
    """Counts, in this thread, the operations for which the host would wait."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        given = [each for each in args[1:2] if isinstance(each, list | tuple)]
        chosen = [one for each in given for one in each if isinstance(one, torch.Tensor)]
        if name in WAITING or (
            name.startswith("index") and any(one.dtype == torch.bool for one in chosen)
        ):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def training(tmp_path, coupling, device="cpu", **more):
    given = {"network": {**UNET, "dropout": 0.2}, "objective": {"kind": "ecm"}}
    settings = run_settings(
        coupling, batch_size=8, steps=80, conditional=True, flip=True, snapshots=0, **given
    )
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    runtime = RuntimeSettings(device=device, **more)
    return Trainer(settings, 3, dataset((1, 8, 8)), runtime, tmp_path, identity)


@pytest.mark.parametrize("more", [{}, {"micro_batch": 3}], ids=["whole", "micro"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_step_but_the_first_waits(kind, more, tmp_path):
    made = training(tmp_path, KINDS[kind], **more)
    made._step(0)
    made.watch.device = torch.device("cuda")  # on a CPU it looks, which costs nothing there
    with Waits() as waits:
        for step in range(1, 5):
            made._step(step)
    assert not waits.seen


def test_waiting_is_seen():
    x = torch.ones(3)
    for wait in (x[0].item, lambda: bool((x > 0).all()), lambda: x[x > 0], lambda: x.nonzero(),
                 lambda: torch.equal(x, x)):  # fmt: skip
        with Waits() as waits:
            wait()
        assert waits.seen


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_does_not_wait(kind, tmp_path):
    """Plans of transport are made on the host, in a thread of their own, which may wait."""
    made = training(tmp_path, KINDS[kind], "cuda")
    made._step(0)
    if (plans := made.loss._plans) is not None:
        for plan in plans._pending.values():
            plan.result()
        plans.stop = 0  # of the whole process is what follows: no thread may begin another plan
    torch.cuda.set_sync_debug_mode("error")
    try:
        made._step(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
