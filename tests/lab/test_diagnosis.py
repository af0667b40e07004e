"""`vct diagnose` and `vct explain`: what they measure of small runs, and what they refuse."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from support import KERNELS, MLP, params

from vct import rng
from vct.diagnostics.ambiguity import ambiguity_bound
from vct.lab import cli, diagnosis, records
from vct.lab.diagnosis.coupling import once
from vct.lab.diagnosis.network import _oracle, _repeated
from vct.lab.diagnosis.subject import Subject
from vct.lab.records import DiagnosticsRecord, ExtractorRecord, Modes, ProtocolRecord
from vct.lab.report import diagnostics

COUPLINGS = {
    "independent": {},
    "ot": {},
    "semidiscrete": {"iterations": 20, "draws": 64},
    "variational": {"kl_weight": 1, "encoder": MLP},
    "pooled": {"kind": "ot", "pool": 4},
    "gc": {"kind": "generator_augmented"},
    "model": {"kind": "model_ot", "pool": 2},
    "weighted": {"entropy": 0.5},
    "loom": {"kept": 1},
    "repeated": {"kind": "model_ot", "pool": 4, "uses": 4},
}
SETTINGS = {
    "seeds": [0],
    "batches": 8,
    "levels": 4,
    "pairs": 64,
    "points": 4,
    "permutations": 19,
    "redraws": 2,
    "mid_times": [0.5, 2.0, 8.0],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of each coupling with its diagnostics, and the suite's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("diagnosis"))
        changes = {
            "runtime.tracking": False,
            "experiments.small.couplings": COUPLINGS,
            "experiments.small.variants": list(COUPLINGS),
            "experiments.small.seeds": [0],
            "experiments.small.sample": {
                "num_samples": 64,
                "mid_times": [2.0],
                "priors": ["standard", "fitted"],
            },
            "experiments.small.diagnostics": SETTINGS,
            "suites": {"all": ["small"]},
        }
        Path("params.yaml").write_text(yaml.safe_dump(params(changes)))
        assert cli.main(["data", "points"]) == 0 and cli.main(["floor", "small"]) == 0
        for coupling in COUPLINGS:
            for stage in ("prepare", "train", "prior", "sample", "score"):
                assert cli.main([stage, f"small/{coupling}/seed0"]) == 0
        for coupling in COUPLINGS:
            assert cli.main(["diagnose", f"small/{coupling}/seed0"]) == 0
        assert cli.main(["explain", "all"]) == 0
        yield


def found(coupling):
    return records.read(DiagnosticsRecord, f"results/small/{coupling}/seed0/diagnostics.json")


def test_every_coupling_has_what_can_be_known_of_it(made):
    numbers = {name: set(found(name).numbers) for name in COUPLINGS}
    common = {"transport_share", "noise_kl", "sampling_sd", "mid_time_2", "memorisation"}
    assert all(common <= each for each in numbers.values())
    own = found("independent").numbers
    assert own["gradient_trace_common"] == own["gradient_trace"]
    assert found("ot").numbers["gradient_trace_common"] != own["gradient_trace"]
    encoder = {"gradient_noise_encoder", "mmd_fitted"}
    assert encoder <= numbers["variational"] and not encoder & numbers["ot"]
    exact = {name for name in COUPLINGS if "consistency_error" in found(name).curves}
    assert exact == {"independent", "semidiscrete", "variational", "weighted"}
    # x of generated pairs is not what any closed form is of.
    assert "ambiguity" not in found("gc").curves and "straightness" not in numbers["gc"]


def test_numbers_order_the_couplings_as_theory_does(made):
    cost = {name: found(name).numbers["transport_share"] for name in COUPLINGS}
    # Minibatches of 8 save a part of what a plan of all 64 pairs would.
    assert cost["pooled"] < cost["ot"]
    assert -0.1 < cost["semidiscrete"] < cost["ot"] < cost["independent"]
    assert cost["independent"] == pytest.approx(1, abs=0.3)
    assert max(found("semidiscrete").curves["crossing_error"].value) == 0
    assert max(found("independent").curves["crossing_error"].value) > 0.01
    assert found("independent").numbers["noise_variance"] == pytest.approx(1, abs=0.3)
    # Weights shift the noise to x / tau: one of two dimensions, of variance 1/4, gets 1 + 2.
    assert found("weighted").numbers["noise_variance"] == pytest.approx(2, abs=0.3)


def test_a_coupling_that_keeps_noises_is_looked_at_with_those(made):
    """They are swapped by training alone, and have come near to their points."""
    cost = {name: found(name).numbers["transport_share"] for name in ("loom", "ot")}
    assert cost["loom"] < 0.7 * cost["ot"]


def test_objectives_of_two_times_are_diagnosed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {
        "runtime.tracking": False,
        "experiments.small.train.objective": {"kind": "mean_flow"},
        "experiments.small.variants": ["independent"],
        "experiments.small.seeds": [0],
        "experiments.small.sample": {"num_samples": 64, "mid_times": [2.0]},
        "experiments.small.diagnostics": SETTINGS,
        "suites": {"all": ["small"]},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params(changes)))
    assert cli.main(["data", "points"]) == 0 and cli.main(["floor", "small"]) == 0
    for stage in ("train", "sample", "score", "diagnose"):
        assert cli.main([stage, "small/independent/seed0"]) == 0
    assert found("independent").numbers["gradient_trace"] > 0


def test_the_same_run_gives_the_same_diagnostics(made):
    path = Path("results/small/ot/seed0/diagnostics.json")
    before = path.read_bytes()
    assert cli.main(["diagnose", "small/ot/seed0"]) == 0
    assert path.read_bytes() == before


def test_mid_times_are_chosen_and_reported_on_different_noise(made):
    of = found("independent")
    curve = dict(
        zip(of.curves["score_by_mid_time"].t, of.curves["score_by_mid_time"].value, strict=True)
    )
    assert set(curve) == {0.5, 2.0, 8.0}
    assert of.numbers["mid_time_2"] == min(curve, key=curve.get)
    assert of.numbers["score_at_chosen_2"] != min(curve.values())


def test_files_of_a_suite_tell_of_every_coupling(made):
    table = pd.read_csv("results/all/diagnostics.csv")
    assert set(table["coupling"]) == set(COUPLINGS)
    text = Path("results/all/diagnostics.md").read_text()
    assert all(text.count(f"| {name} |") >= 2 for name in ("minibatch OT", "semidiscrete OT"))
    for picture in ("diagnostics", "gains"):
        assert Path(f"results/all/{picture}.png").stat().st_size > 5_000


def test_samples_that_were_drawn_again_need_another_diagnosis(made, capsys):
    path = Path("results/small/ot/seed0/diagnostics.json")
    whole = path.read_text()
    content = json.loads(whole)
    content["files"]["samples.npz"] = "0" * 64
    try:
        path.write_text(json.dumps(content))
        assert cli.main(["explain", "all"]) == 2
        assert "vct diagnose small/ot/seed0" in capsys.readouterr().err
        path.unlink()
        assert cli.main(["explain", "all"]) == 2
        assert cli.main(["explain", "all", "--finished"]) == 0
        assert "minibatch OT" not in Path("results/all/diagnostics.md").read_text()
    finally:
        path.write_text(whole)


def test_a_kept_diagnosis_stays_as_long_as_it_is_of_the_run(made):
    """A run that is made again to the same samples has the diagnosis that is kept of it."""
    path = Path("results/small/ot/seed0/diagnostics.json")
    whole = path.read_text()
    kept = Path("results/all/runs/small/ot/seed0/diagnostics.json")
    try:
        assert cli.main(["keep", "all"]) == cli.main(["explain", "all"]) == 0
        before = Path("results/all/diagnostics.csv").read_text()
        path.unlink()
        assert cli.main(["keep", "all"]) == 0
        assert kept.read_text() == whole
        # The run here has none: its row is that of the kept one, unless all are asked to be here.
        assert cli.main(["explain", "all", "--finished"]) == 0
        assert Path("results/all/diagnostics.csv").read_text() == before
        assert cli.main(["explain", "all"]) == 2
        protocol = kept.with_name("protocol.json")
        as_kept = protocol.read_text()
        protocol.write_text(as_kept.replace('"num_samples": 64', '"num_samples": 65'))
        assert cli.main(["explain", "all", "--finished"]) == 0
        assert ",ot," not in Path("results/all/diagnostics.csv").read_text()
        protocol.write_text(as_kept)
        content = json.loads(whole)
        content["files"]["samples.npz"] = "0" * 64
        kept.write_text(json.dumps(content))
        assert cli.main(["keep", "all"]) == 0
        assert not kept.exists()
    finally:
        path.write_text(whole)
        shutil.rmtree(Path("results/all/runs"))


def test_a_diagnosis_is_of_what_scored_the_samples(made):
    record = records.read(DiagnosticsRecord, Path("results/small/ot/seed0/diagnostics.json"))
    protocol = records.read(ProtocolRecord, Path("results/small/ot/seed0/protocol.json"))
    assert record.is_of(protocol)
    scaled = {"own.Metric": {"scale": "2"}}
    assert not record.model_copy(update={"own_options": scaled}).is_of(protocol)
    both = protocol.model_copy(update={"extras": scaled})
    assert record.model_copy(update={"own_options": scaled}).is_of(both)
    judge = ExtractorRecord(name="judge", kind="classifier", sha256="0" * 64, features=3)
    assert not record.model_copy(update={"extractor": judge}).is_of(protocol)


def test_of_nothing_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = params({"experiments.small.diagnostics": SETTINGS})
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert cli.main(["explain", "cpu", "--finished"]) == 2
    assert "nothing is written" in capsys.readouterr().err
    assert not Path("results/cpu").exists()


def test_gradients_are_of_the_pairs_that_the_coupling_makes(made, monkeypatch):
    """Also where they are planned over several batches, and of a training that was shorter."""
    from vct.lab.training.step import BatchLoss

    seen = []
    whole = BatchLoss.backward

    def noted(loss, step, batch):
        seen.append(torch.equal(batch.x, loss.batches(step).x))
        return whole(loss, step, batch)

    monkeypatch.setattr(BatchLoss, "backward", noted)
    text = Path("params.yaml").read_text()
    try:
        Path("params.yaml").write_text(text.replace("batches: 8", "batches: 24"))
        assert cli.main(["diagnose", "small/pooled/seed0"]) == 0
    finally:
        Path("params.yaml").write_text(text)
        assert cli.main(["diagnose", "small/pooled/seed0"]) == 0
    assert len(seen) > 48 and all(seen)


def test_curves_that_break_off_are_averaged_time_by_time():
    columns = ["experiment", "dataset", "coupling", "seed", "name", "t", "value"]
    rows = [("e", "d", "c", 0, "stability", t, t) for t in (1.0, 2.0, 4.0)]
    rows += [("e", "d", "c", 1, "stability", t, t) for t in (2.0, 4.0)]
    found = diagnostics.tidy(pd.DataFrame(rows, columns=columns))
    assert list(found["t"]) == list(found["mean"]) == [1.0, 2.0, 4.0]
    assert list(found["n"]) == [1, 2, 2]


def test_numbers_that_are_not_finite_are_told_as_such():
    rows = [("e", "d", "c", seed, "gradient_noise", math.nan, value)
            for seed, value in enumerate((1.0, math.nan))]  # fmt: skip
    columns = ["experiment", "dataset", "coupling", "seed", "name", "t", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    assert np.isnan(diagnostics.tidy(frame)["mean"][0])
    assert "| c | – |" in diagnostics.markdown(frame, {"e": {"c": "c"}})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"common": "nobody"}, "diagnostics.common"),
        ({"seeds": [7]}, "diagnostics.seeds"),
        ({"redraws": 3}, "redraws"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, monkeypatch, capsys, changes, word):
    monkeypatch.chdir(tmp_path)
    content = params({"experiments.small.diagnostics": SETTINGS | changes})
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert cli.main(["check"]) == 2
    assert word in capsys.readouterr().err


def test_minibatches_of_gradients_are_independent(made, monkeypatch):
    """Those of one pool may share noise, and those of one epoch share no data."""
    from vct.lab.training.step import BatchLoss

    seen = []
    whole = BatchLoss.backward

    def noted(loss, step, batch):
        seen.append((loss.seed, step, loss._noise(step, batch.x), batch.indices))
        return whole(loss, step, batch)

    monkeypatch.setattr(BatchLoss, "backward", noted)
    assert cli.main(["diagnose", "small/repeated/seed0"]) == 0
    seeds, steps, noises, indices = zip(*seen[:8], strict=True)  # of the run's own weights
    assert len(set(seeds)) == 8 and set(steps) == {0}
    assert len(torch.cat(noises).unique(dim=0)) == sum(map(len, noises))
    assert len(torch.cat(indices).unique()) < sum(map(len, indices))  # 64 points, 8 batches


def subject_of(monkeypatch, pools):
    monkeypatch.setattr(Subject, "_pools", lambda self: iter(pools))
    return Subject(*[None] * 7, torch.device("cpu"), 0, None)


def test_pairs_are_distinct_in_data_and_in_noise(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 40, 2, 1, 1, generator=generator)
    plain = subject_of(monkeypatch, [(x[:20], z[:20]), (x[20:], z[20:])])
    assert all(map(torch.equal, plain.distinct_pairs(30), (x[:30], z[:30])))
    again = torch.arange(40) % 10
    pools = [(x, z[again]), (x[again], z), (x, z)]
    found_x, found_z = subject_of(monkeypatch, pools).distinct_pairs(30)
    for part in (found_x, found_z):
        assert len(part.unique(dim=0)) == len(part) == 30
    # The first ten, then those that are new in both.
    assert torch.equal(found_x[:10], x[:10]) and torch.equal(found_x[10:], x[10:30])
    assert torch.equal(found_z[10:], z[10:30])
    # Some couplings have no more.
    few = [(x[:10], z[:10])] * 100
    assert len(subject_of(monkeypatch, few).distinct_pairs(30)[0]) == 10


def test_noise_that_is_used_again_tells_nothing_of_its_data(monkeypatch):
    """Two data points of one noise would predict each other exactly."""
    generator = torch.Generator().manual_seed(0)
    x = 0.5 * torch.randn(1600, 16, 1, 1, generator=generator)
    z = torch.randn(400, 16, 1, 1, generator=generator).repeat(4, 1, 1, 1)
    plain, *_ = ambiguity_bound(x, z, KERNELS["ve"], [80.0])
    pairs = subject_of(monkeypatch, [(x, z)]).distinct_pairs(400)
    distinct, *_ = ambiguity_bound(*pairs, KERNELS["ve"], [80.0])
    assert plain.value < 0.01 and distinct.value == pytest.approx(0.25, rel=0.1)


def test_noise_that_is_there_again_counts_once():
    noise = torch.randn(200, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(800, generator=torch.Generator().manual_seed(1)) % 200
    kept = once(noise[order])
    firsts = [int((order == one).nonzero()[0]) for one in range(200)]
    assert torch.equal(kept, noise[order][sorted(firsts)])
    assert torch.equal(once(noise), noise)


def test_a_pool_that_uses_its_noise_again_has_the_law_of_its_noise(made):
    """Each noise four times is no other law; the test would find one."""
    numbers = found("repeated").numbers
    assert numbers["mmd_standard_p"] > 0.05


def diagnosed(train, watch):
    """Diagnoses an independent run with other settings of `train`, once `watch` was called."""
    changes = {
        "runtime.tracking": False,
        **{f"experiments.small.train.{key}": value for key, value in train.items()},
        "experiments.small.train.steps": 9,
        "experiments.small.variants": ["independent"],
        "experiments.small.seeds": [0],
        "experiments.small.diagnostics": SETTINGS,
        "suites": {"all": ["small"]},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params(changes)))
    assert cli.main(["data", "points"]) == 0 and cli.main(["floor", "small"]) == 0
    for stage in ("train", "sample", "score"):
        assert cli.main([stage, "small/independent/seed0"]) == 0
    watch()
    assert cli.main(["diagnose", "small/independent/seed0"]) == 0


def test_gradients_of_sct_are_those_of_the_end_of_its_warm_up(tmp_path, monkeypatch):
    from vct.objectives.sct import SCT

    monkeypatch.chdir(tmp_path)
    seen, whole = [], SCT.tangent

    def noted(objective, f, pair, t, labels, ready):
        seen.append(ready)
        return whole(objective, f, pair, t, labels, ready)

    objective = {"kind": "sct", "warm_up": 5}
    diagnosed({"objective": objective}, lambda: monkeypatch.setattr(SCT, "tangent", noted))
    assert seen and set(seen) == {1.0}


def test_gradients_leave_weights_alone_that_training_normalises(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, same = diagnosis.gradients, []

    def watched(subject, common):
        before = {name: value.clone() for name, value in subject.model.state_dict().items()}
        found = whole(subject, common)
        after = subject.model.state_dict()
        same.extend(torch.equal(value, after[name]) for name, value in before.items())
        return found

    network = {"kind": "edm2", "channels": 8, "mult": [1], "blocks": 1, "attention": []}
    diagnosed({"network": network}, lambda: monkeypatch.setattr(diagnosis, "gradients", watched))
    assert same and all(same)


def test_exact_functions_know_the_shares_of_modes():
    """Of unequal modes as a source tells them; equal ones where it does not."""
    means = [[0.0, 0.0], [1.0, 0.0]]
    for shares in ([0.9, 0.1], None):
        modes = Modes(means=means, std=0.1, shares=shares)
        coupling = SimpleNamespace(independent=True, keeps_data=True)
        known = _oracle(
            SimpleNamespace(
                data=SimpleNamespace(meta=SimpleNamespace(modes=modes)),
                model=SimpleNamespace(coupling=coupling),
                kernel=KERNELS["ve"],
                device=torch.device("cpu"),
            )
        )
        torch.testing.assert_close(known.shares, torch.tensor(shares or [0.5, 0.5]).double())


def test_samples_that_are_made_of_held_out_images_tell_nothing_of_memory():
    x = np.random.default_rng(0).standard_normal((20, 1, 2, 2))
    for restores in (True, False):
        subject = SimpleNamespace(
            data=SimpleNamespace(train=SimpleNamespace(x=x), test=SimpleNamespace(x=x + 1)),
            model=SimpleNamespace(coupling=SimpleNamespace(from_data=restores)),
            train=SimpleNamespace(flip=False),
            seed=0,
            settings=SimpleNamespace(permutations=9),
        )
        assert bool(_repeated(subject, x).numbers) != restores


def test_the_figure_shows_pairs_of_the_training(made):
    """Of plans over several batches, of cells, whose noise stays in its place."""
    size = yaml.safe_load(Path("params.yaml").read_text())["experiments"]["small"]["train"]
    eps = rng.normal((4 * size["batch_size"], 2, 1, 1), 0, "figure", device=torch.device("cpu"))
    for name, count in (("semidiscrete", size["batch_size"]), ("pooled", len(eps))):
        with np.load(f"results/small/{name}/seed0/samples.npz") as arrays:
            z = torch.from_numpy(arrays["pair_z"])
        same = (z[:, None] == eps[None]).flatten(2).all(dim=2)
        assert same.any(dim=1).all() and len(z) == size["batch_size"]
        if name == "semidiscrete":
            assert torch.equal(z, eps[:count])
        else:
            assert same[:, size["batch_size"] :].any()
