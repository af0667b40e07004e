"""What a score was measured with, as one sentence, and which scores may share a column."""

from collections.abc import Callable, Mapping
from typing import Any

from vct.lab.records import ProtocolRecord
from vct.lab.report import names
from vct.lab.settings.run import settings_sha256
from vct.samplers.base import parse_key

# These belong to the model and its sampler; all else decides what the number means.
_PER_EXPERIMENT = ("schedules", "ema")


def conditions(protocol: ProtocolRecord) -> dict[str, Any]:
    """What all runs of an experiment share: the record without the hashes of their files."""
    return {key: value for key, value in protocol.content().items() if key != "files"}


def comparable(protocol: ProtocolRecord) -> str:
    """Equal for two protocols exactly when their numbers may stand in one column."""
    found = conditions(protocol).items()
    return settings_sha256({key: value for key, value in found if key not in _PER_EXPERIMENT})


def differing(one: ProtocolRecord, other: ProtocolRecord, samples: str) -> list[str]:
    """What keeps the scores of `samples`, by their key, of two protocols from being compared.

    Beside what decides a column, it is the times of their sampler; which priors were drawn decides
    which rows there are, and none of their numbers.
    """
    first, second = conditions(one), conditions(other)
    deciding = sorted({*first, *second} - {*_PER_EXPERIMENT, "priors"})
    found = [key for key in deciding if first.get(key) != second.get(key)]
    same_times = one.schedules.get(samples) == other.schedules.get(samples)
    return found if same_times else [*found, f"times of {samples}"]


def sha256(protocol: ProtocolRecord) -> str:
    """Hash of what the settings say of scoring: of all but versions and the files' hashes.

    The hashes of extractor and data may be others on another machine under the same settings.
    """
    found = conditions(protocol).items()
    kept = {key: value for key, value in found if not key.endswith("version")}
    for section in ("extractor", "reference"):
        part = kept[section] or {}
        kept[section] = {key: value for key, value in part.items() if key != "sha256"}
    return settings_sha256(kept)


def sentence(protocols: Mapping[str, ProtocolRecord]) -> str:
    """One sentence for a block, from its protocols by experiment (all comparable).

    Sampler times and EMA may differ between the experiments; then each is named.
    """
    first = next(iter(protocols.values()))
    parts = [_extractor(first), _reference(first), f"{first.num_samples} samples per run"]
    parts += [
        f"{extra.replace('_', ' ')}: {_settings(settings)}"
        for extra, settings in sorted((first.extras or {}).items())
    ]
    for name, code in sorted((first.own_code or {}).items()):
        parts.append(f"sampler {name}: code {code[:8]}")
    parts.append("sampler times: " + _each(protocols, _times))
    parts.append("EMA " + _each(protocols, lambda protocol: protocol.ema))
    drawn = f"sampling seed {first.sample_seed}, {first.noise} noise, pools of {first.pool}"
    parts.append(f"{drawn}, classes in the data's shares" if first.classes else drawn)
    return "Protocol: " + "; ".join(parts) + "."


def _extractor(protocol: ProtocolRecord) -> str:
    found = protocol.extractor
    if found is None:
        return "no feature extractor"
    weights = f", made of {found.source}" if found.source else ""
    return f"extractor {found.name} (features {found.features}, sha256 {found.sha256[:8]}{weights})"


def _settings(settings: Mapping[str, Any]) -> str:
    """`subsets 100, subset size 1000`."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in sorted(settings.items()))


def _reference(protocol: ProtocolRecord) -> str:
    found = protocol.reference
    # Clouds of points are compared with as many, see `Wasserstein.compute`.
    size = min(found.size, protocol.num_samples) if "w2" in protocol.metrics else found.size
    items = f"{size} items (sha256 {found.sha256[:8]})"
    return f"reference {found.dataset} {found.split}, {items}"


def _times(protocol: ProtocolRecord) -> str:
    """`1 step at 80, 2 steps at 80 and 1.5`; of many times only the ends and what they cost."""
    return ", ".join(_schedule(key, times) for key, times in protocol.schedules.items())


def _schedule(key: str, times: list[float]) -> str:
    sampler, _ = parse_key(key) or (key, 0)
    if sampler in ("heun", "euler"):
        calls = f"{2 * len(times) - 1 if sampler == 'heun' else len(times)} network calls"
        return f"{names.heading(key)} from {times[0]:g} to {times[-1]:g} and 0 ({calls})"
    return f"{names.heading(key)} at {' and '.join(f'{time:g}' for time in times)}"


def _each(
    protocols: Mapping[str, ProtocolRecord], describe: Callable[[ProtocolRecord], str]
) -> str:
    """One text if all experiments agree, else each with the experiments it holds for."""
    holders: dict[str, list[str]] = {}
    for experiment, protocol in protocols.items():
        holders.setdefault(describe(protocol), []).append(experiment)
    if len(holders) == 1:
        return next(iter(holders))
    return " / ".join(f"{text} ({', '.join(owners)})" for text, owners in holders.items())
