"""Findings of a diagnosis: numbers, and curves along the level of noise."""

import math
from dataclasses import dataclass, field

from vct.lab.records import Curve


@dataclass
class Findings:
    """Numbers and curves by name; what is not finite has no value."""

    numbers: dict[str, float] = field(default_factory=dict)
    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def point(self, curve: str, t: float, value: float) -> None:
        """Add a point to a curve."""
        self.points.setdefault(curve, []).append((t, value))

    def add(self, other: "Findings") -> None:
        """Take over what another one found."""
        self.numbers |= other.numbers
        self.points |= other.points

    def finite(self) -> dict[str, float | None]:
        """The numbers, None where one is not finite."""
        return {name: _finite(value) for name, value in self.numbers.items()}

    def curves(self) -> dict[str, Curve]:
        """The curves, by rising t."""
        return {
            name: Curve(
                t=[t for t, _ in sorted(points)], value=[_finite(y) for _, y in sorted(points)]
            )
            for name, points in self.points.items()
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
