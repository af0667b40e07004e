"""The widths that settings are checked with are those of the networks."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vct.networks.groups import unfit
from vct.networks.unet import DDPMpp, NCSNpp


@given(
    channels=st.integers(1, 60).map(lambda count: 4 * count),
    mult=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    blocks=st.integers(1, 2),
)
@settings(max_examples=12, deadline=None, derandomize=True)
@example(channels=132, mult=[1], blocks=1)
@example(channels=36, mult=[1, 4], blocks=1)
@example(channels=16, mult=[1, 2, 4, 8], blocks=2)
def test_a_network_can_be_built_exactly_if_all_widths_fit(channels, mult, blocks):
    for kind in (DDPMpp, NCSNpp):
        with torch.device("meta"):
            if unfit(channels, mult, blocks) is None:
                kind((1, 16, 16), 1, channels, mult, blocks)
            else:
                with pytest.raises(ValueError, match="divisible"):
                    kind((1, 16, 16), 1, channels, mult, blocks)
