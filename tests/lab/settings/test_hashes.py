"""Settings that are hashed as they always were: else every run would be trained again."""

import csv

from support import ROOT

from vct.lab.files.layout import RunId
from vct.lab.settings import reading
from vct.lab.settings.run import run_settings


def test_the_published_rows_have_the_hashes_of_their_settings():
    params = reading.load(ROOT / "params.yaml")
    with (ROOT / "results/cpu/table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["settings_sha256"] for row in rows}) == 12
    for row in rows:
        seed = next(int(key[4:]) for key in row if key.startswith("seed") and row[key])
        run = RunId(row["experiment"], row["coupling"], seed)
        assert run_settings(params, run).sha256() == row["settings_sha256"], run
