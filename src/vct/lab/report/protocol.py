"""What a score was measured with, as one sentence, and which scores may share a column."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vct.lab.report import names

# These belong to the model and its sampler; all else decides what the number means.
_PER_EXPERIMENT = ("schedules", "ema")


MOST = 2**53
_WORDS = ("ema", "noise", "sample_seed", "version", "sampling_version")


def problem(content: dict[str, Any]) -> str | None:
    """What is wrong with the content of a protocol.json, None if it can be put into words.

    Parts may be missing; those that are there must be of the right kind.
    """
    count, schedules, metrics = (
        content.get(key) for key in ("num_samples", "schedules", "metrics")
    )
    if count is not None and not is_count(count):
        return "num_samples is no whole number"
    if schedules is not None and not (
        isinstance(schedules, dict) and all(map(_is_times, schedules.values()))
    ):
        return "schedules hold more than lists of times"
    if metrics is not None and not (isinstance(metrics, list) and all(map(_is_name, metrics))):
        return "metrics is no list of names"
    for key in ("extractor", "reference"):
        part = content.get(key)
        if part is not None and not (isinstance(part, dict) and all(map(_is_word, part.values()))):
            return f"{key} holds more than words and numbers"
    if not _is_extras(content.get("extras", {})):
        return "extras hold more than words and numbers"
    wrong = [key for key in _WORDS if not _is_word(content.get(key))]
    return f"{wrong[0]} is no word or number" if wrong else None


def is_count(value: Any) -> bool:
    """Whether JSON held a whole number that a table can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def _is_extras(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_name(extra) and isinstance(settings, dict) and all(map(_is_word, settings.values()))
        for extra, settings in value.items()
    )


def _is_times(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < MOST and math.isfinite(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _is_word(value)


def _is_word(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 200 and value.isprintable()
    return value is None or _is_number(value)


@dataclass(frozen=True)
class Protocol:
    """The content of protocol.json."""

    content: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> "Protocol":
        """Read the text that `collect` keeps in the column `protocol`."""
        return cls(json.loads(text))

    @property
    def comparable(self) -> str:
        """Equal for two protocols exactly when their numbers may stand in one column."""
        kept = {key: value for key, value in self.content.items() if key not in _PER_EXPERIMENT}
        return json.dumps(kept, sort_keys=True)

    @property
    def sha256(self) -> str:
        """Hash of what the settings say of scoring: of all but versions and the files' hashes.

        The hashes of extractor and data may be others on another machine under the same settings.
        """
        kept = {key: value for key, value in self.content.items() if not key.endswith("version")}
        for section in ("extractor", "reference"):
            part = kept.get(section) or {}
            kept[section] = {key: value for key, value in part.items() if key != "sha256"}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, the primary one first."""
        return [str(name) for name in self.content.get("metrics") or []]

    @property
    def num_samples(self) -> int | None:
        """Samples scored per run."""
        return self.content.get("num_samples")

    def part(self, section: str, key: str) -> Any:
        """A value of `extractor` or `reference`, None where there is none."""
        return (self.content.get(section) or {}).get(key)


def sentence(protocols: Mapping[str, Protocol]) -> str:
    """One sentence for a block, from its protocols by experiment (all comparable).

    Sampler times and EMA may differ between the experiments; then each is named.
    """
    first = next(iter(protocols.values()))
    parts = [_extractor(first), _reference(first), f"{first.num_samples} samples per run"]
    parts += [
        f"{extra.replace('_', ' ')}: {_settings(settings)}"
        for extra, settings in (first.content.get("extras") or {}).items()
    ]
    parts.append("sampler times: " + _each(protocols, _times))
    parts.append("EMA " + _each(protocols, lambda protocol: str(protocol.content.get("ema"))))
    noise = first.content.get("noise")
    parts.append(f"sampling seed {first.content.get('sample_seed')}, {noise} noise")
    return "Protocol: " + "; ".join(parts) + "."


def _extractor(protocol: Protocol) -> str:
    if not protocol.content.get("extractor"):
        return "no feature extractor"
    name, features = protocol.part("extractor", "name"), protocol.part("extractor", "features")
    source = protocol.part("extractor", "source")
    weights = f", made of {source}" if source else ""
    return f"extractor {name} (features {features}, sha256 {short(protocol, 'extractor')}{weights})"


def _settings(settings: Mapping[str, Any]) -> str:
    """`subsets 100, subset size 1000`."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())


def _reference(protocol: Protocol) -> str:
    dataset, split = protocol.part("reference", "dataset"), protocol.part("reference", "split")
    size = protocol.part("reference", "size")
    return f"reference {dataset} {split}, {size} items (sha256 {short(protocol, 'reference')})"


def short(protocol: Protocol, section: str) -> str:
    """First 8 hexadecimal digits of a hash."""
    return str(protocol.part(section, "sha256"))[:8]


def _times(protocol: Protocol) -> str:
    """`1 step at 80, 2 steps at 80 and 1.5`."""
    schedules = protocol.content.get("schedules") or {}
    return ", ".join(_schedule(key, times) for key, times in schedules.items())


def _schedule(key: str, times: list[float]) -> str:
    """`2 steps at 80 and 1.5`; Heun's many times by their ends, with what it costs."""
    if key.startswith("heun"):
        calls = f"{2 * len(times) - 1} network calls"
        return f"{names.heading(key)} from {times[0]:g} to {times[-1]:g} and 0 ({calls})"
    return f"{names.steps(len(times))} at {' and '.join(f'{time:g}' for time in times)}"


def _each(protocols: Mapping[str, Protocol], describe: Any) -> str:
    """One text if all experiments agree, else each with the experiments it holds for."""
    holders: dict[str, list[str]] = {}
    for experiment, protocol in protocols.items():
        holders.setdefault(describe(protocol), []).append(experiment)
    if len(holders) == 1:
        return next(iter(holders))
    return " / ".join(f"{text} ({', '.join(owners)})" for text, owners in holders.items())
