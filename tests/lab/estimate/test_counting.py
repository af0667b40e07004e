"""What is counted without values is what real tensors do on a CPU."""

import math
import weakref

import pytest
import torch
from support import COUPLINGS, ROOT, UNET, dataset, randomise, run_settings
from torch import nn
from torch.nn import functional

from vct.lab import build
from vct.lab.estimate.counting import count, flops
from vct.lab.settings import reading
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.networks import adm, layers

SHAPE = (1, 8, 8)
EDM2 = {"kind": "edm2", "channels": 64, "mult": [1, 2], "blocks": 1, "attention": [4]}
NETWORKS = {
    "mlp": {"kind": "mlp", "width": 8, "depth": 2, "dropout": 0.5},
    "ddpmpp": {**UNET, "dropout": 0.1},
    "adm": {**EDM2, "kind": "adm", "dropout": 0.1},
    "edm2": EDM2,
}
GC = COUPLINGS["gc"]
PAIRINGS = {
    "independent": COUPLINGS["independent"],
    "ot": COUPLINGS["ot"],
    "variational": {**COUPLINGS["variational"], "encoder": UNET},
    "gc": {"kind": "generator_augmented", "base": {"kind": "ot"}},
    "gc-vc": GC,
    "model-ot": {"kind": "model_ot", "pool": 1},
    "gc-model-ot": {"kind": "generator_augmented", "base": {"kind": "model_ot", "pool": 1}},
    "gc-model-ot-recouple": {
        "kind": "generator_augmented",
        "base": {"kind": "model_ot", "pool": 1},
        "noise": "recouple",
    },
    "gc-vc-recouple": {**GC, "noise": "recouple"},
    "knn": {"kind": "knn"},
    "gc-knn": {"kind": "generator_augmented", "base": {"kind": "knn"}},
    "weighted": {"kind": "weighted"},
    "gc-weighted": {"kind": "generator_augmented", "base": {"kind": "weighted"}},
}


def trainer(folder, settings, batch):
    data = dataset(SHAPE, size=64)
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    return Trainer(settings, 0, data, RuntimeSettings(device="cpu"), folder, identity)


def settings_of(coupling="independent", network="ddpmpp", batch=6, **train):
    objective = train.pop("objective", {"kind": "ecm"})
    network = NETWORKS[network]
    train = {"network": network, "objective": objective, "steps": 20, "snapshots": 0, **train}
    return run_settings(PAIRINGS[coupling], batch_size=batch, **train)


class Live:
    """Most bytes that autograd held at a time during a real step, parameters excluded."""

    def __init__(self, model):
        self.parameters = {parameter.data_ptr() for parameter in model.parameters()}
        self.held, self.peak = {}, 0

    def pack(self, tensor):
        holder = [tensor.detach()]
        box = Box(holder)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.parameters:
            self.held[id(box)] = (storage.data_ptr(), storage.nbytes())
            weakref.finalize(box, self.held.pop, id(box))
        self.peak = max(self.peak, sum(dict(self.held.values()).values()))
        return box

    @staticmethod
    def unpack(box):
        return box.holder[0]


class Box:
    def __init__(self, holder):
        self.holder = holder


def held_by_a_real_step(folder, settings):
    made = trainer(folder, settings, settings.train.batch_size)
    randomise(made.model)
    live = Live(made.model)
    with torch.autograd.graph.saved_tensors_hooks(live.pack, live.unpack):
        made.loss.backward(3, made.batches.at(3))
    return live.peak


CASES = [("independent", name, "float32") for name in ("ddpmpp", "adm", "edm2")]
CASES += [(name, "mlp", "float32") for name in ("ot", "variational", "gc", "gc-vc-recouple")]
CASES += [("gc-vc", "ddpmpp", "bfloat16")]
CASES += [(name, "mlp", "float32") for name in ("knn", "gc-knn", "weighted", "gc-weighted")]


@pytest.mark.parametrize(("coupling", "network", "precision"), CASES)
def test_activations_are_those_of_a_real_step(coupling, network, precision, tmp_path):
    settings = settings_of(coupling, network, precision=precision, conditional=True)
    found = count(settings, dataset(SHAPE), settings.train.batch_size)
    expected = held_by_a_real_step(tmp_path, settings)
    # Of normalisations, bfloat16's statistics are float32 when they are computed.
    assert found.activations == pytest.approx(expected, rel=0 if precision == "float32" else 0.01)


@pytest.mark.parametrize("network", ["mlp", "ddpmpp", "edm2"])
@pytest.mark.parametrize("kind", ["sct", "flow", "consistency_flow", "mean_flow"])
def test_activations_of_other_objectives(kind, network, tmp_path):
    settings = settings_of("variational", network, objective={"kind": kind}, conditional=True)
    found = count(settings, dataset(SHAPE), settings.train.batch_size)
    assert found.activations == held_by_a_real_step(tmp_path, settings)


@pytest.mark.parametrize("kind", ["sct", "mean_flow"])
def test_a_derivative_costs_two_calls(kind):
    """A student's pass and its gradient take three, but for the first layer's input."""
    found = count(settings_of(network="edm2", objective={"kind": kind}), dataset(SHAPE), 6)
    assert found.step == pytest.approx(5 * found.forward, rel=0.02)


class Oracle:
    """FLOP of a network's layers by hand, from the shapes that pass through real layers.

    A layer's backward pass costs as much again for its weight, and for its input if that needs a
    gradient; both products of attention cost twice as much.
    """

    def __init__(self, monkeypatch, *networks):
        self.forward = self.backward = 0
        for network in networks:
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.register_forward_hook(self.of_layer)
        attend, resample = functional.scaled_dot_product_attention, layers.resampled

        def attention(query, key, value):
            self.add(4 * query.numel() * key.shape[-2], 2 * query.requires_grad)
            return attend(query, key, value)

        def resampled(x, low_pass, *given, **more):
            y = resample(x, low_pass, *given, **more)
            # Without shift, every pixel of the larger image is a tap's.
            self.add(2 * low_pass.numel() * min(x.numel(), y.numel()), x.requires_grad)
            return y

        monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
        monkeypatch.setattr(layers, "resampled", resampled)
        monkeypatch.setattr(adm, "resampled", resampled)

    def add(self, flop, passes_back):
        self.forward += flop
        if torch.is_grad_enabled():
            self.backward += flop * passes_back

    def of_layer(self, layer, inputs, output):
        kernel = math.prod(getattr(layer, "kernel_size", ()))
        inner = layer.weight.shape[1] * kernel
        self.add(2 * inner * output.numel(), 1 + inputs[0].requires_grad)


@pytest.mark.parametrize(
    ("coupling", "objective"),
    [
        ("independent", "ict"),
        ("variational", "ecm"),
        ("variational", "edm"),
        ("gc-vc", "ict"),
        ("model-ot", "ict"),
        ("gc-model-ot", "ecm"),
        ("gc-model-ot-recouple", "ecm"),
    ],
)
def test_flop_of_a_step_are_those_of_its_layers(coupling, objective, tmp_path, monkeypatch):
    settings = settings_of(coupling, objective={"kind": objective})
    found = count(settings, dataset(SHAPE), 6)
    made = trainer(tmp_path, settings, 6)
    coupled = [made.model.coupling] if list(made.model.coupling.parameters()) else []
    oracle = Oracle(monkeypatch, made.model.network, made.ema.module.network, *coupled)
    made.loss.backward(3, made.batches.at(3))
    assert found.step * 6 == oracle.forward + oracle.backward


@pytest.mark.parametrize("network", ["mlp", "ddpmpp", "adm"])
def test_flop_of_an_evaluation(network, monkeypatch):
    settings = settings_of(network=network)
    found = count(settings, dataset(SHAPE), 3)
    model = build.model(settings, dataset(SHAPE), 0)
    oracle = Oracle(monkeypatch, model.network)
    with torch.no_grad():
        model.network(torch.zeros(2, *SHAPE), torch.zeros(2), None)
    assert found.forward == oracle.forward / 2


def test_what_couplings_add_to_a_step():
    data = dataset(SHAPE)
    plain, gc, both, recoupled = (
        count(settings_of(name, "mlp", objective={"kind": "ict"}), data, 4)
        for name in ("independent", "gc", "gc-vc", "gc-vc-recouple")
    )
    assert gc.step == plain.step + plain.forward
    assert gc.activations == plain.activations
    assert recoupled.step == both.step + both.couple
    assert plain.couple == gc.couple == 0


def test_noise_that_is_used_again_costs_one_call_in_all():
    settings = settings_of("model-ot", "mlp")
    often = settings.model_copy(
        update={"coupling": settings.coupling.model_copy(update={"pool": 4, "uses": 4})}
    )
    plain, once, rarely = (
        count(each, dataset(SHAPE), 4) for each in (settings_of(network="mlp"), settings, often)
    )
    assert once.step == plain.step + plain.forward
    assert rarely.step == plain.step + plain.forward / 4


def test_flop_per_image_do_not_depend_on_the_batch_or_the_kernel():
    found = [
        count(settings_of("gc-vc", "mlp", kernel=kernel), dataset(SHAPE), batch)
        for kernel, batch in (("ve", 3), ("ve", 5), ("li", 5))
    ]
    assert len({(each.step, each.forward, each.couple) for each in found}) == 1
    assert found[1].activations == found[2].activations > found[0].activations


class Attending(nn.Module):
    """A network whose attention takes the fused kernel, which splits into no other operation."""

    def __init__(self, shape, outputs, classes=0):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x, c_noise, labels=None):
        rows = (self.scale * x).reshape(len(x), 1, 8, 8)
        return functional.scaled_dot_product_attention(rows, rows, rows)


def test_fused_attention_is_counted():
    settings = run_settings(network={"kind": "test_counting.Attending"}, objective={"kind": "ecm"})
    found = count(settings, dataset(SHAPE), 4)
    products = 2 * 2 * 8 * 8 * 8
    assert found.forward == products
    # Its backward pass makes the weights of attention again: five products for two.
    assert found.step == products * (1 + 2.5 + 1)


def test_published_sizes():
    """EDM2-S has 280 million parameters and takes 102 billion multiply-adds (EDM2, table 2)."""
    settings = reading.load(ROOT / "params.yaml").experiment("ecm-imagenet64-li").train.network
    with torch.device("meta"):
        network = build.instantiate(settings, shape=(3, 64, 64), outputs=3, classes=1000).eval()
        call = [torch.empty(1, 3, 64, 64), torch.empty(1), torch.empty(1, 1000)]
        with torch.no_grad():
            found = flops(lambda: network(*call))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == 280
    assert found / 2e9 == pytest.approx(102, rel=0.02)
