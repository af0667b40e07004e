"""What a user's coupling, objective, sampler or source gets wrong is one sentence, never a wrong
number."""

from pathlib import Path

import pytest
import yaml
from support import dataset, params, run_settings

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.settings.own_failure import explained
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.samplers import OwnSamplerSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.misfit import Misfit
from vct.objectives.ict import ICT

P, RUN = "experiments.small", "small/mine/seed0"

COUPLING = """
import torch
from vct import Coupling
from vct.couplings.base import Pair

class Mine(Coupling):
    def couple(self, x, eps, labels=None):
        return eps
"""
OBJECTIVE = """
import torch
from vct.objectives.base import Levels, Objective

class Mine(Objective):
    t_min = 0.002

    def levels(self, step, total, batch, generator):
        t = 1 + torch.rand(batch, generator=generator)
        return Levels(t, t / 2, weight=1 / t, kl_scale=1.0, grid_points=0)

    def distance(self, student, teacher):
        return (student - teacher).square().flatten(1).sum(dim=1)
"""
SAMPLER = """
from vct.samplers.base import Sampler

class Mine(Sampler):
    schedules = {"mine1": [80.0], "mine2": [80.0, 1.0]}

    def __call__(self, f, coupling, noise, labels=None):
        yield noise[0]
        yield noise[0]
"""
KERNEL = """
import torch

from vct.kernels import Kernel


class Mine(Kernel):
    def data_scale(self, t):
        return torch.exp(-t / self.t_max)

    def boundary_scale(self, t, t_min):
        return self.data_scale(t - t_min)
"""
GOOD = {"coupling": COUPLING, "objective": OBJECTIVE, "sampler": SAMPLER, "kernel": KERNEL}
SAMPLED = {"sampler": ["sample small/mine/seed0"]}


@pytest.fixture
def attempt(tmp_path, monkeypatch, capsys):
    """Run commands with a user's module in place of one family's member."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])

    def call(family, source, *commands, kind="own_mine.Mine"):
        import sys

        sys.modules.pop("own_mine", None)
        Path("own_mine.py").write_text(source)
        own = {"kind": kind}
        changes = {
            "runtime.tracking": False,
            f"{P}.couplings": {"mine": own if family == "coupling" else {"kind": "independent"}},
            f"{P}.variants": ["mine"],
        }
        if family in ("objective", "kernel"):
            changes[f"{P}.train.{family}"] = own
        if family == "sampler":
            changes[f"{P}.sample.sampler"] = own
        content = params(changes)
        content["suites"] = {name: ["small"] for name in content["suites"]}
        Path("params.yaml").write_text(yaml.safe_dump(content))
        dataset = content["experiments"]["small"]["train"]["dataset"]
        said = ""
        for command in (f"data {dataset}", *commands):
            capsys.readouterr()
            code = cli.main(command.split())
            said = capsys.readouterr().err
            if code:
                break
        errors = [line for line in said.splitlines() if line.startswith("vct: error: ")]
        assert (code, len(errors)) in ((0, 0), (2, 1)), said
        return code, "".join(errors)

    return call


@pytest.mark.parametrize("family", GOOD)
def test_one_that_fits_is_taken(attempt, family):
    assert attempt(family, GOOD[family], f"train {RUN}", f"sample {RUN}") == (0, "")


@pytest.mark.parametrize(
    ("family", "old", "new", "said"),
    [
        ("coupling", "return eps", "return eps[:3]", "Mine.couple has shape"),
        ("coupling", "return eps", "eps * 2", "Mine.couple is NoneType, not a tensor"),
        ("coupling", "return eps", "return eps * k", "own_mine.py, line 8, in couple: NameError"),
        ("coupling", "self, x, eps, labels=None", "self, x, eps", "Mine.couple must take x, eps"),
        ("coupling", "def couple", "def paired", "does not define couple"),
        ("coupling", "    def couple", "    scope = 'bach'\n    def couple", "scope is 'bach'"),
        (
            "coupling",
            "    def couple",
            "    def pair(self, x, eps, context):\n        return x, eps\n    def couple",
            "Mine.pair gives tuple, not Pair",
        ),
        (
            "coupling",
            "    def couple",
            "    def pair(self, x, eps, context):\n        return Pair(x, eps, x.new_zeros(3))\n"
            "    def couple",
            "Pair.kl has shape (3,)",
        ),
        (
            "coupling",
            "    def couple",
            "    def __init__(self):\n        self.a = 1\n    def couple",
            "does not call super().__init__()",
        ),
        (
            "coupling",
            "    def couple",
            "    def __init__(self):\n        super().__init__()\n"
            "        self.a = torch.nn.Parameter(torch.zeros(()))\n    def couple",
            'its scope must be "sample"',
        ),
        ("objective", "weight=1 / t", "weight=(1 / t)[:, None]", "Levels.weight has shape"),
        ("objective", "weight=1 / t", "weight=1.0", "Levels.weight is float"),
        ("objective", "t / 2", "t * 2", "not everywhere is 0 <= r < t"),
        ("objective", "t / 2", "t", "not everywhere is 0 <= r < t"),
        ("objective", "weight=1 / t", "weight=-1 / t", "not everywhere is weight >= 0"),
        ("coupling", "return eps", "return eps / 0", "Mine gives pairs that are not finite"),
        ("coupling", "return eps", "raise SystemExit(3)", "line 8, in couple: it ends the program"),
        (
            "coupling",
            "    def couple",
            "    pool = 0\n    def couple",
            "Mine.pool is 0, not a whole",
        ),
        ("coupling", "    def couple", "    uses = 1.5\n    def couple", "Mine.uses is 1.5, not a"),
        ("objective", "torch.rand(batch,", "torch.rand(3,", "Mine.levels: t has shape (3,)"),
        ("objective", "flatten(1).sum(dim=1)", "mean()", "Mine.distance has shape ()"),
        ("objective", "return Levels(", "return (", "invalid syntax"),
        ("objective", "    def distance", "    def length", "does not define distance"),
        ("kernel", "torch.exp(-t / self.t_max)", "1.0", "Mine.data_scale is float, not a tensor"),
        ("kernel", "(t - t_min)", "(t)", "Mine.boundary_scale is 0.999 at t = t_min"),
        ("kernel", "torch.exp(-t", "math.exp(-t", "own_mine.py, line 9, in data_scale: NameError"),
        ("coupling", "return eps", "return x.mul_(2)", "Mine changes the data x in place"),
        ("sampler", '"mine1"', '"snapshot1"', "must have schedules"),
        (
            "sampler",
            "yield noise[0]\n        yield noise[0]",
            "return noise[0]",
            "a result of Mine",
        ),
        (
            "sampler",
            "        yield noise[0]\n        yield",
            "        return",
            "a result of Mine has",
        ),
        (
            "sampler",
            "yield noise[0]\n",
            "yield noise[0].numpy()\n",
            "sampling/drawing.py, line",
        ),
        (
            "sampler",
            "yield noise[0]\n",
            "yield noise[0].flatten(1)\n",
            "a result of Mine has shape",
        ),
        (
            "sampler",
            "yield noise[0]\n",
            "yield from (noise[0],) * 3\n",
            "Mine gives 6 results of 2",
        ),
        ("sampler", "    schedules", "    noises = 0\n    schedules", "must have noises"),
        ("sampler", "    schedules", "    noises = '1'\n    schedules", "must have noises"),
        ("sampler", "        yield noise[0]\n        yield", "        yield", "1 results of 2"),
    ],
)
def test_a_mistake_is_one_sentence(attempt, family, old, new, said):
    source = GOOD[family].replace(old, new)
    assert source != GOOD[family]
    code, error = attempt(
        family, source, f"train {RUN}", *[f"sample {RUN}"] * (family == "sampler")
    )
    assert code == 2 and said in error


@pytest.mark.parametrize("kind", ["math.pi", "math.sqrt", "os.path"])
@pytest.mark.parametrize("family", GOOD)
def test_what_is_no_class_is_one_sentence(attempt, family, kind):
    stages = [f"train {RUN}", f"sample {RUN}"] if family == "sampler" else [f"train {RUN}"]
    assert attempt(family, "", *stages, kind=kind)[0] == 2


def test_an_objective_may_set_its_smallest_time_of_training(attempt):
    source = OBJECTIVE + "\n    def __init__(self):\n        self.train_t_min = None\n"
    assert attempt("objective", source, f"train {RUN}") == (0, "")


def test_a_class_that_was_edited_since_training_is_not_sampled_from(attempt):
    attempt("coupling", COUPLING, f"train {RUN}")
    edited = COUPLING.replace("return eps", "return -eps")
    code, error = attempt("coupling", edited, f"sample {RUN}")
    assert code == 2 and "was trained with other code of own_mine.Mine" in error
    assert cli.main(["show", RUN]) == 2
    assert attempt("coupling", f"# a comment\n{COUPLING}", f"sample {RUN}") == (0, "")


def test_the_class_that_is_meant_is_named_alone(attempt):
    """And not every class of params.yaml."""
    error = Misfit("Mine.couple has shape (3,), not (4,)")
    kinds = ("own_mine.Mine", "others.Yours", "others.Min", "others.ine")
    settings = [OwnSamplerSettings(kind=kind) for kind in kinds]
    with (
        pytest.raises(UserError, match=r"^own_mine.Mine: Mine.couple has shape"),
        explained(settings),
    ):
        raise error


def test_times_beyond_the_end_of_a_kernel_are_refused(tmp_path, monkeypatch):
    """A bounded kernel's data would change their sign."""
    settings = run_settings(kernel="li", objective={"kind": f"{__name__}.Beyond"})
    runtime = RuntimeSettings(device="cpu")
    trainer = Trainer(settings, 0, dataset(), runtime, tmp_path, Identity({}, "", 1))
    with pytest.raises(Misfit, match="not everywhere is t <= T, where the kernel ends"):
        trainer.run()


class Beyond(ICT):
    def __init__(self, t_max):
        super().__init__(1.01 * t_max, s0=2, s1=2)
