"""With what a suite was computed, as its records say, and with what its report was written."""

import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from vct.lab import versions
from vct.lab.records import ProtocolRecord, RunRecord

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "torch-fidelity", "POT", "scikit-learn")
"""Those that decide numbers."""

Facts = dict[str, str]
"""What is known, by what it is called."""


def recorded(
    runs: Iterable[RunRecord], protocols: Iterable[ProtocolRecord], commits: Iterable[str]
) -> Facts:
    """Versions of the code that made the numbers, and hashes of what judged them.

    Args:
        commits: of the code when the runs were trained.
    """
    found: dict[str, dict[str, None]] = {}

    def note(what: str, text: str) -> None:
        found.setdefault(what, {})[text] = None

    for run in runs:
        note("package vct", run.code.vct)
        note("version of training", str(run.code.training))
        for name, sha256 in (run.own_code or {}).items():
            note("own code", f"{name}, sha256 {sha256}")
    for protocol in protocols:
        note("version of sampling", str(protocol.sampling_version))
        note("version of scoring", str(protocol.version))
        if judge := protocol.extractor:
            note("extractor", f"{judge.name} ({judge.kind}), sha256 {judge.sha256}")
        data = protocol.reference
        note("reference", f"{data.dataset} {data.split}, {data.size:,} items, sha256 {data.sha256}")
    for commit in commits:
        note("commit when trained", commit)
    return {what: "\n".join(texts) for what, texts in found.items()}


def here() -> Facts:
    """This machine and its packages."""
    return {
        "version of reporting": str(versions.REPORTING),
        "Python": platform.python_version(),
        "packages": _packages(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
    }


def _packages() -> str:
    found: Mapping[str, str] = {name: _version(name) for name in PACKAGES}
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """As the system calls it; Python itself knows it on few systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
