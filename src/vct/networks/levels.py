"""Where the blocks of a U-Net stand, with the names of public EDM checkpoints.

ADM and EDM2 have the same plan; what a block computes is the network's business.
"""

from dataclasses import dataclass

HEAD_CHANNELS = 64
"""Channels of an attention head; a block of fewer channels does not attend, as published."""


@dataclass(frozen=True)
class Place:
    """One block.

    Args:
        name: its key in `enc` or `dec`, such as "32x32_block0".
        inputs, outputs: channels; `inputs` counts those of a skip connection too.
        pixels: height of the image behind it.
        attention: whether it attends.
        resample: "up", "down" or None.
    """

    name: str
    inputs: int
    outputs: int
    pixels: int
    attention: bool = False
    resample: str | None = None

    @property
    def heads(self) -> int:
        """Heads of attention, which must divide `outputs`."""
        return self.outputs // HEAD_CHANNELS if self.attention else 0


def encoder(size: int, widths: list[int], blocks: int, attention: list[int]) -> list[Place]:
    """Blocks behind the first convolution, which has widths[0] channels.

    Args:
        size: height of the image.
        widths: channels of each level; a level has half the height of the one before.
        blocks: blocks of a level.
        attention: heights at which blocks attend.
    """
    places: list[Place] = []
    width = widths[0]
    for level, wider in enumerate(widths):
        pixels = size >> level
        if level:
            places.append(Place(f"{pixels}x{pixels}_down", width, width, pixels, resample="down"))
        for index in range(blocks):
            name = f"{pixels}x{pixels}_block{index}"
            places.append(Place(name, width, wider, pixels, pixels in attention))
            width = wider
    return places


def decoder(size: int, widths: list[int], blocks: int, attention: list[int]) -> list[Place]:
    """Blocks between the encoder and the last convolution; arguments as for `encoder`."""
    skips = [widths[0], *(place.outputs for place in encoder(size, widths, blocks, attention))]
    places: list[Place] = []
    last, width = len(widths) - 1, skips[-1]
    for level in range(last, -1, -1):
        pixels = size >> level
        name = f"{pixels}x{pixels}"
        if level == last:
            places.append(Place(f"{name}_in0", width, width, pixels, attention=True))
            places.append(Place(f"{name}_in1", width, width, pixels))
        else:
            places.append(Place(f"{name}_up", width, width, pixels, resample="up"))
        for index in range(blocks + 1):
            inputs, width = width + skips.pop(), widths[level]
            block = Place(f"{name}_block{index}", inputs, width, pixels, pixels in attention)
            places.append(block)
    return places
