"""samples.npz against a drawing by hand: labels, noise, evaluation mode, boundary, pools."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import MLP, UNET, dataset, params, randomise
from torch import nn

from vct import rng
from vct.couplings.base import Coupling
from vct.couplings.generator_augmented import GeneratorAugmented
from vct.couplings.independent import Independent
from vct.couplings.minibatch_ot import MinibatchOT
from vct.kernels import VarianceExploding
from vct.lab import build, cli
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.sampling.drawing import Drawing, along_training, bounds, prior_of, to_uint8
from vct.lab.settings.sample import SampleSettings
from vct.networks.mlp import MLP as Perceptron
from vct.networks.unet import DDPMpp
from vct.preconditioning import ConsistencyFunction
from vct.samplers.few_step import FewStep

T, T_MIN, SIGMA_DATA, MID = 80.0, 0.003, 0.5, 1.5
CPU = torch.device("cpu")
RUN = "pictures/variational/seed0"
COUNT = 23


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A tiny conditional ECM training with dropout in network and encoder, sampled."""
    import yaml

    monkeypatch.chdir(tmp_path)
    unet, mlp = {**UNET, "dropout": 0.5}, {**MLP, "dropout": 0.5}
    train = {
        **params()["experiments"]["pictures"]["train"],
        "kernel": "ve",
        "network": unet,
        "ema": {"decay": 0.5},
        "conditional": True,
        "steps": 3,
        "snapshots": 2,
    }
    sample = {
        "num_samples": COUNT,
        "batch_size": 5,
        "mid_times": [MID],
        "seed": 4,
        "snapshot_samples": 7,
    }
    changes = {
        "runtime.tracking": False,
        "experiments.pictures.train": train,
        "experiments.pictures.sample": sample,
        "experiments.pictures.variants": ["variational"],
        "experiments.pictures.couplings": {"variational": {"kl_weight": 1, "encoder": mlp}},
        "experiments.pictures.seeds": [0],
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    for stage in (["data", "images"], ["train", RUN], ["sample", RUN]):
        assert cli.main(stage) == 0
    with np.load(f"results/{RUN}/samples.npz") as file:
        return tmp_path / "results" / RUN, dict(file)


def network(tensors):
    made = DDPMpp((1, 8, 8), 1, 8, [1, 2], 1, [4], classes=10).eval()
    made.load_state_dict(tensors)
    return made


def part(tensors, prefix):
    return {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)}


def f(net, x_t, time, labels):
    """ECM's function of the sampler: the boundary scalings of the exploding kernel, written out."""
    elapsed, variance = time - T_MIN, SIGMA_DATA**2
    c_in = (variance + time**2) ** -0.5
    c_skip = variance / (elapsed**2 + variance)
    c_noise = torch.full((len(x_t),), time).log() / 4
    return c_skip * x_t + elapsed * SIGMA_DATA * c_in * net(c_in * x_t, c_noise, labels)


def noise(step, count=COUNT):
    return rng.normal((rng.BLOCK, 1, 8, 8), 4, f"sample step {step}", 0, device=CPU)[:count]


@torch.no_grad()
def test_samples_are_those_drawn_by_hand(drawn):
    folder, arrays = drawn
    tensors = load_file(folder / "model.safetensors")
    net, encoder = network(part(tensors, "network.")), Perceptron((1, 8, 8), 2, 8, 2, classes=10)
    encoder.load_state_dict(part(tensors, "coupling.encoder."))
    labels = torch.eye(10)[torch.arange(COUNT) % 10]
    first = f(net, T * noise(0), T, labels)
    raw = encoder(first.clamp(-1, 1) / SIGMA_DATA, torch.zeros(COUNT), labels)
    mean, std = raw[:, :1], nn.functional.softplus(raw[:, 1:] + np.log(np.expm1(1)))
    second = f(net, first.clamp(-1, 1) + MID * (mean + std * noise(1)), MID, labels)
    for key, x in (("steps1", first), ("steps2", second)):
        near(arrays[key], x)
    for step, name in ((2, "snapshot2"), (3, "snapshot3")):
        kept = part(load_file(folder / "snapshots.safetensors"), f"{step}/")
        near(arrays[name], f(network(kept), T * noise(0, 7), T, labels[:7]))
    assert not np.array_equal(arrays["snapshot2"], arrays["snapshot3"])


def near(stored, x):
    """Equal but for roundings that fall the other way when a batch is divided otherwise."""
    expected = to_uint8(x).numpy().astype(int)
    off = np.abs(stored.astype(int) - expected)
    assert stored.shape == expected.shape and off.max() <= 1 and (off > 0).mean() < 0.01


class Linear(nn.Module):
    """A network whose answer depends on the image alone."""

    def forward(self, x, c_noise, labels=None):
        return torch.roll(x, 1, 0).mean(dim=0, keepdim=True) * 0 + torch.sin(3 * x)


def drawing(coupling, data=None, pool=6, net=None, classes=0, **sample):
    given = {"num_samples": COUNT, "batch_size": 5, "mid_times": [MID], **sample}
    function = ConsistencyFunction(net or Linear(), VarianceExploding(T), SIGMA_DATA, 0.002)
    settings = SampleSettings.model_validate(given)
    data = data or dataset((1, 4, 4))
    sampler = FewStep([T, MID], bounds(data, CPU))
    return Drawing(
        function,
        coupling,
        sampler,
        data,
        settings,
        pool,
        {"standard": prior_of(coupling)},
        classes,
        CPU,
    )


@pytest.mark.parametrize("coupling", [Independent(), MinibatchOT(), MinibatchOT("device")])
def test_samples_do_not_depend_on_how_many_are_drawn_at_a_time(coupling):
    one, other = (drawing(coupling, batch_size=size).all_results() for size in (2, 11))
    for key in ("steps1", "steps2"):
        assert np.array_equal(one[key], other[key])


class Wide(Independent):
    """Noise of deviation 3, and of mean 1 in the first class."""

    def couple(self, x, eps, labels=None):
        return self.start(eps, labels)

    def start(self, eps, labels=None):
        return 3 * eps + (0 if labels is None else labels[:, :1, None, None])


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("over", [lambda own: own, GeneratorAugmented])
def test_samples_start_from_the_prior_of_the_coupling(over, classes):
    made = drawing(over(Wide()), classes=classes)
    plain = drawing(Independent(), classes=classes)
    labels = plain._labels(0, COUNT)
    start = Wide().start(plain._noise(COUNT, 0, 0, COUNT), labels)
    np.testing.assert_allclose(made.start_noise(), start)
    assert not np.allclose(plain.start_noise(), start)
    with torch.no_grad():
        t = torch.full((COUNT,), T)
        expected = made.f(made.f.kernel(torch.zeros_like(start), start, t), t, labels)
    near(made.all_results()["steps1"], expected)
    assert np.array_equal(made.first_result(COUNT), made.all_results()["steps1"])
    without = replace(made, starts={})
    assert np.array_equal(without.first_result(COUNT), made.first_result(COUNT))


def test_transport_depends_on_the_pool_and_independent_noise_does_not():
    def second(coupling, pool):
        return drawing(coupling, pool=pool).all_results()["steps2"]

    assert not np.array_equal(second(MinibatchOT(), 6), second(MinibatchOT(), COUNT))
    assert np.array_equal(second(Independent(), 6), second(Independent(), COUNT))


@pytest.mark.parametrize("kind", ["gaussian", "sobol"])
def test_noise_of_two_steps_is_uncorrelated(kind):
    data = dataset((2, 1, 1))
    made = drawing(Independent(), data=data, noise=kind, num_samples=2048)
    first, second = (made._noise(2048, step, 0, 2048).flatten(1) for step in (0, 1))
    assert not torch.equal(first, second)
    found = torch.corrcoef(torch.cat([first, second], dim=1).T)[:2, 2:]
    assert found.abs().max() < 5 / 2048**0.5


def test_classes_come_in_turn_over_all_batches():
    seen = []

    class Labelled(nn.Module):
        def forward(self, x, c_noise, labels):
            seen.append(labels)
            return torch.zeros_like(x)

    data = dataset((1, 4, 4), classes=7)
    # More of a snapshot than there are samples.
    drawing(Independent(), data, net=Labelled(), classes=7).first_result(COUNT + 9)
    found = torch.cat(seen).argmax(dim=1)
    assert found.tolist() == [index % 7 for index in range(COUNT + 9)]
    seen.clear()
    data.train.labels[:] = np.arange(37) % 2 * 5
    made = drawing(Independent(), data, net=Labelled(), classes=7)
    more = {"classes": "as_data", "snapshot_samples": COUNT + 9}
    replace(made, sample=made.sample.model_copy(update=more)).first_result(COUNT + 9)
    found = torch.cat(seen).argmax(dim=1)
    assert found.tolist() == [5 * (index % 2) for index in range(COUNT + 9)]


def test_snapshots_leave_the_network_as_it_was(tmp_path, monkeypatch):
    """Pairs that are made with the model come after them."""
    monkeypatch.chdir(tmp_path)
    run, net = RunId("small", "independent", 0), randomise(Perceptron((1, 4, 4), 1, 4, 1))
    made = drawing(Independent(), net=net, snapshot_samples=4)
    run.directory.mkdir(parents=True)
    zeros = {f"2/{name}": torch.zeros_like(x) for name, x in net.state_dict().items()}
    save_file(zeros, run.directory / "snapshots.safetensors")
    before = made.first_result(4)
    assert not np.array_equal(along_training(run, made)["snapshot2"], before)
    assert np.array_equal(made.first_result(4), before)


class Broken(nn.Module):
    """Answers NaN for the later of the samples."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x, c_noise, labels=None):
        return torch.full_like(x, self.value)


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 1, 1)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("coupling", [Independent(), MinibatchOT()])
def test_samples_that_are_not_finite_are_none(shape, value, coupling):
    made = drawing(coupling, dataset(shape), net=Broken(value))
    for draw in (made.all_results, lambda: made.first_result(4)):
        with pytest.raises(UserError, match=r"samples \(steps1\) are not finite.*diverged"):
            draw()


def test_samples_are_noised_again_within_the_range_of_the_data():
    """An encoder is not asked outside of its data, of points too."""
    seen = []

    class Recording(Coupling):
        scope = "sample"

        def couple(self, x, eps, labels=None):
            seen.append(x)
            return eps

    for shape in ((2, 1, 1), (1, 4, 4)):
        seen.clear()
        data = dataset(shape)
        drawing(Recording(), data, net=Broken(100.0)).all_results()
        edge = torch.from_numpy(data.train.x).amax(dim=0) if data.is_points else 1
        assert (torch.cat(seen) == edge).all()


def test_a_run_is_sampled_within_the_range_of_its_data(drawn, monkeypatch):
    given = []

    class Recorded(FewStep):
        def __init__(self, times, bounds=None):
            given.append(bounds)
            super().__init__(times, bounds)

    monkeypatch.setattr(build, "FewStep", Recorded)
    assert cli.main(["sample", RUN]) == 0
    assert given == [(-1.0, 1.0)]


def test_an_own_sampler_may_ask_at_two_times():
    """f(x_t, t, labels, r) of a network that is given a few samples at a time."""
    asked, net = [], randomise(Perceptron((1, 4, 4), 1, two_times=True))
    drawn = drawing(MinibatchOT(), net=net)

    class Midway(FewStep):
        def __call__(self, f, coupling, noise, labels=None):
            x_t, t = T * noise[0], torch.full((len(noise[0]),), T)
            asked.append((f(x_t, t, labels, t / 2), drawn.f(x_t, t, labels, t / 2)))
            yield from super().__call__(f, coupling, noise, labels)

    replace(drawn, sampler=Midway([T, MID])).all_results()
    assert max(len(found) for found, _ in asked) > drawn.sample.batch_size
    for found, expected in asked:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
