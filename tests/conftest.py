"""Shared fixtures: golden numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Numbers of the published formulas, losses and samples."""
    with np.load(GOLDEN / "method.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def golden_networks() -> dict[str, np.ndarray]:
    """Weights, inputs and outputs of the published networks."""
    with np.load(GOLDEN / "networks.npz") as file:
        return dict(file)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """A test draws the same numbers whichever tests ran before it."""
    torch.manual_seed(0)
