"""A project with tiny settings in a temporary folder, and the two engines to run it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from faults import engines

ROOT = Path(__file__).parents[2]
COPIED = (*engines.COPIED, ".gitignore")


class Project:
    """A copy of the project that trains for a few steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def params(self) -> dict:
        """What params.yaml holds."""
        return yaml.safe_load((self.folder / "params.yaml").read_text())

    def write_params(self, params: dict) -> None:
        """Replace params.yaml."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def run(
        self, *command: str, ok: bool = True, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, with the programs beside this Python; `given` is stdin."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "DVC_NO_ANALYTICS": "true",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        if ok:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def snakemake(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on two cores."""
        return self.run("snakemake", "--cores", "2", *arguments, ok=ok)

    def planned(self, *arguments: str) -> list[str]:
        """The messages of the jobs that Snakemake would run."""
        out = self.snakemake("-n", *arguments).stdout
        return sorted(re.findall(r"^  (\S.*?)  ", out, flags=re.MULTILINE))


def tiny(params: dict) -> dict:
    """Two experiments that take seconds: one on points, one on images."""
    experiments = {name: params["experiments"][name] for name in ("mixture", "digits")}
    network = {"kind": "mlp", "width": 16, "depth": 2}
    for experiment in experiments.values():
        experiment["train"] |= {
            "steps": 40,
            "batch_size": 32,
            "log_every": 10,
            "snapshots": 2,
            "network": network,
        }
        experiment["couplings"]["variational"]["encoder"] = network
        experiment["seeds"] = [0]
        experiment["sample"] |= {"num_samples": 64, "snapshot_samples": 32, "batch_size": 64}
    experiments["mixture"]["variants"] = ["variational"]
    experiments["digits"]["variants"] = ["ot", "variational"]
    params["datasets"] = {name: params["datasets"][name] for name in ("mixture", "digits")}
    params["datasets"]["mixture"] |= {"train": 256, "test": 64}
    extractor = {**params["extractors"]["digits-classifier"], "epochs": 1}
    return {
        **params,
        "extractors": {"digits-classifier": extractor},
        "experiments": experiments,
        "suites": {"cpu": ["mixture", "digits"]},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny project, in a git and DVC repository."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": ignore} if source.is_dir() else {}))
    project = Project(folder)
    project.write_params(tiny(project.params()))
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    project.run("vct", "dvc", "cpu")
    return project
