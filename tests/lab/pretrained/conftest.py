"""Golden networks as published files, and what the command says about a file."""

import edm_files
import pytest
import torch

from vct.lab import cli

CLASSES = {
    "ddpmpp_16px": "SongUNet",
    "ncsnpp_16px_cond": "SongUNet",
    "adm_16px_cond": "DhariwalUNet",
    "edm2_16px_cond": "UNet",
}


@pytest.fixture
def published(golden_networks):
    """Make the content of a file from a golden case; `half` rounds weights to float16."""

    def make(case, half=False, extra=None, **settings):
        prefix = f"{case}/state/"
        tensors = {
            key.removeprefix(prefix): torch.from_numpy(value)
            for key, value in golden_networks.items()
            if key.startswith(prefix)
        }
        if half:
            tensors = {name: value.half() for name, value in tensors.items()}
        inner = edm_files.network(CLASSES[case], {**tensors, **(extra or {})}, **settings)
        return edm_files.checkpoint(inner, edm2=case.startswith("edm2"))

    return make


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder; no params.yaml is needed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here, capsys):
    """The one sentence that a file of these bytes gets; nothing may be run or written."""

    def run(content):
        (here / "file.pkl").write_bytes(content)
        assert cli.main(["import-edm", "file.pkl"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("vct: error: file.pkl ")
        assert err.count("\n") == 1
        assert err.rstrip("\n").isprintable()
        assert [path.name for path in here.rglob("*")] == ["file.pkl"]
        return err

    return run
