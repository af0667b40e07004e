"""Settings that are hashed as they always were: else every run would be trained again."""

import csv

import pytest
from support import ROOT, UNET, run_settings

from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.settings import run as of_runs


def test_the_published_rows_have_the_hashes_of_their_settings():
    params = reading.load(ROOT / "params.yaml")
    with (ROOT / "results/cpu/table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["settings_sha256"] for row in rows}) == 12
    for row in rows:
        seed = next(int(key[4:]) for key in row if key.startswith("seed") and row[key])
        run = RunId(row["experiment"], row["coupling"].split("/")[0], seed)
        assert of_runs.run_settings(params, run).sha256() == row["settings_sha256"], run


@pytest.mark.parametrize("pool", [1, 16, 32])
@pytest.mark.parametrize("kind", ["ot", "model_ot"])
def test_what_is_left_out_of_a_dump_is_the_default(kind, pool):
    settings = run_settings({"kind": kind, "pool": pool})
    again = type(settings).model_validate(settings.model_dump(mode="json"))
    assert again == settings and again.coupling.pool == pool


WRITTEN = {
    "8b8f513294b4c57504d3046848c04bf68ae8717003b12b4fe42390d15c557d4b": run_settings(),
    "7cdaf36cfc01a073e97c1dd7e465e60de3e2c79c4698d62f41044a4db68f9fa3": run_settings("ot"),
    "f2d0e5804b287ae1d055ddb6c65f1c32fcd2df505edf5f3e1539182095bae0f9": run_settings("sinkhorn"),
    "9665eeacfbd7770b6fe5ed497a5001df206e62c3de840c6fb6a00af2ff946f93": run_settings("variational"),
    "3e5d984fa0bc2f7e83e0fa098b6df61700438d1ae72205c6b1333031e2266b0c": run_settings("gc"),
    "2613449ee25a50ef1f5fc97f2534b8788eda013cfc356d61ea8b1f95d082a1aa": run_settings(
        kernel="li", objective={"kind": "ecm"}
    ),
    "8a467f2f635c44820e6b27e0dc72463e68a2284b0247ad03573386a210f681f7": run_settings(
        objective={"kind": "edm"}
    ),
    "a893281bf1331801d88589e726efc74ae4824c5994e621f81426415185a80de3": run_settings(
        network=UNET, flip=True
    ),
    "8770c3d9171bb3f59eb8551b9f450bfdb1e9c7e26c776928a47aa0afb6580934": run_settings(
        network={**UNET, "kind": "ncsnpp"}
    ),
    "dc60d5f543a447bbbfa4dc5c923db0b3a6e3ba58b155a1f1ab68b17bec9205b6": run_settings(
        network={**UNET, "kind": "edm2"}, conditional=True
    ),
    "5b8e08ea87f6439e7a4af3804828c7eb29fefb163ac06e96d23577cfae14f067": run_settings(
        ema={"kind": "power", "width": 0.1}
    ),
    "7197311d0544fcbcad2db86d012985843cf6765e5a25c7bfe4cebb685328d6fd": run_settings(
        ema={"kind": "post_hoc", "widths": [0.05, 0.1], "kept": 5}
    ),
    "496c0ce7401fab666dcfe729cd92939ea3ba6898809846fe2dfef4bdcad1080e": run_settings(
        optimizer={"kind": "radam", "learning_rate": 1e-4}
    ),
    "ffe0cb5f56332740ccc5f0991f41654a64be925722ac40d603821c9f8e1a7d17": run_settings(
        initial_weights="pretrained/a.safetensors"
    ),
}
"""One of each family; a setting that came later is not part of them while it has its default."""


@pytest.mark.parametrize(("sha256", "settings"), WRITTEN.items())
def test_a_setting_that_came_later_is_in_no_hash_of_before(sha256, settings):
    assert settings.sha256() == sha256


@pytest.mark.parametrize(
    ("key", "default", "other"),
    [
        ("precision", "float32", "bfloat16"),
        ("compile", False, True),
        ("initial_weights", None, "pretrained/a.safetensors"),
        ("ema", {"decay": 0.9, "warm_up": None}, {"decay": 0.9, "warm_up": 0.1}),
        ("ema", {"decay": 0.9}, {"decay": 0.99}),
    ],
)
def test_a_default_that_is_written_out_is_the_same_setting(key, default, other):
    assert run_settings(**{key: default}).sha256() == run_settings().sha256()
    assert run_settings(**{key: other}).sha256() != run_settings().sha256()


def test_clipping_and_the_range_of_a_coupling_too():
    ot = {"kind": "ot"}
    for key, default, other in (("clip_grad_norm", None, 1.0), ("over", "batch", "device")):
        assert run_settings({**ot, key: default}).sha256() == run_settings(ot).sha256()
        assert run_settings({**ot, key: other}).sha256() != run_settings(ot).sha256()
