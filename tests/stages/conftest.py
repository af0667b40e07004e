"""A project in a folder of its own, whose stages run in this process."""

import pytest
import yaml
from support import params

from vct import config
from vct.data import dataset
from vct.stages import data as data_stage


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write params.yaml with `changes` (see `support.params`), make its data, return Params."""
    monkeypatch.chdir(tmp_path)

    def make(changes):
        content = params({"runtime.tracking": False, **changes})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        loaded = config.load()
        for name in ("points", "images"):
            if not dataset.dataset_dir(name).exists():
                data_stage.run(loaded, name)
        return loaded

    return make
