"""Noise around a degraded image, for images to restore (stochastic interpolants with data-dependent
couplings, arXiv 2310.03725)."""

import torch
from torch import Tensor
from torch.nn import functional

from vct.couplings.base import Coupling
from vct.misfit import Misfit, check


class Conditional(Coupling):
    """z is what is known of the data point, and noise: the path leads from there to the point.

    z = D x + std eps where pixels are shown, and eps where they are hidden. D replaces each block
    of `factor` by `factor` pixels by its mean (super-resolution), of those that are shown; hidden
    is a central square (inpainting). Sampling starts from z of images to restore, so it takes a
    kernel that ends at the noise, x_T = z. The network sees x_t alone and reads from it what is
    known; that paper gives it the degraded image as well.

    Args:
        shape: (C, H, W) of the data.
        factor: side of the blocks in pixels; 1 keeps the resolution.
        hidden: side of the hidden square as a share of the image's, in [0, 1); 0 hides nothing.
        std: deviation of the noise on what is shown; more than one image may belong to D x, and
            the noise is what tells them apart.
    """

    scope = "sample"
    from_data = True

    def __init__(
        self, shape: tuple[int, int, int], factor: int = 1, hidden: float = 0.0, std: float = 0.25
    ) -> None:
        super().__init__(shape)
        _, height, width = shape
        if height % factor or width % factor:
            raise Misfit(f"factor: {factor} divides no images of {height} by {width} pixels")
        self.factor, self.std = factor, std
        mask = torch.zeros(height, width, dtype=torch.bool)
        rows, columns = (round(hidden * side) for side in (height, width))
        top, left = (height - rows) // 2, (width - columns) // 2
        mask[top : top + rows, left : left + columns] = True
        if (hidden and not mask.any()) or mask.all():
            raise Misfit(f"hidden: {hidden} hides {int(mask.sum())} of {height * width} pixels")
        self.register_buffer("mask", mask, persistent=False)

    mask: Tensor
    """Which pixels are hidden (H, W)."""

    def degraded(self, x: Tensor) -> Tensor:
        """D x (B, C, H, W), from the shown pixels of each block; where pixels are hidden it says
        nothing."""
        if self.factor == 1:
            return x
        shown = (~self.mask).to(x.dtype)[None, None]
        share = functional.avg_pool2d(shown, self.factor).clamp(min=1 / self.factor**2)
        return self._as_large(functional.avg_pool2d(x * shown, self.factor) / share)

    def begin(self, y: Tensor, eps: Tensor) -> Tensor:
        """z of what is known of images.

        Args:
            y: images (B, C, H, W), of which what is hidden and finer than a block is not looked at,
                or of one pixel a block, (B, C, H / factor, W / factor).
            eps: noise (B, C, H, W).
        """
        y = self._as_large(y) if y.shape[2:] != eps.shape[2:] else self.degraded(y)
        check("images to restore", y, eps.shape)
        return torch.where(self.mask, eps, y + self.std * eps)

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.begin(x, eps)

    def _as_large(self, small: Tensor) -> Tensor:
        return small.repeat_interleave(self.factor, dim=2).repeat_interleave(self.factor, dim=3)
