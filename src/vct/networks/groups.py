"""Widths of the U-Nets' layers, without building them: settings are checked without torch."""

from collections.abc import Iterator, Sequence


def group_count(channels: int) -> int:
    """Groups of a GroupNorm: at most 32, of at least 4 channels each (EDM, Appendix F)."""
    return min(32, channels // 4)


def unfit(channels: int, mult: Sequence[int], blocks: int) -> int | None:
    """The first width that its groups do not divide, None if all fit.

    Args:
        channels: channels at multiplier 1.
        mult: multiplier of each level.
        blocks: residual blocks of a level.
    """
    widths = _normalised(channels, mult, blocks)
    return next((width for width in widths if width % group_count(width)), None)


def _normalised(channels: int, mult: Sequence[int], blocks: int) -> Iterator[int]:
    """Channels in front of and inside the blocks of `vct.networks.unet`, in its order."""
    width, skips = channels, []
    for level in mult:
        skips.append(width)  # the first convolution, or the block that halves the image
        yield width
        for _ in range(blocks):
            width = channels * level
            skips.append(width)
            yield width
    for level in reversed(mult):
        for _ in range(blocks + 1):
            yield width + skips.pop()
            width = channels * level
            yield width
