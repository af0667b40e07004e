"""A part of `make faults`: odd images, labels and archives, of which none differs in silence."""

import pytest
from faults import archives, image_files, label_layouts
from faults.makings import REFUSED, STORED


@pytest.mark.parametrize(
    ("kind", "count"), [(image_files, 300), (label_layouts, 100), (archives, 100)]
)
def test_no_silent_difference(kind, count, tmp_path):
    outcomes, wrong = kind.try_all(tmp_path, count)
    assert wrong == []
    # Both happen, so that neither is found by chance.
    assert set(outcomes) == {STORED, REFUSED}
    assert min(outcomes.values()) > count / 5
