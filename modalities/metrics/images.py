"""Metrics of pictures (b, h, w, 3) of bytes: PSNR, SSIM, and a Frechet distance with a feature extractor of our own."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from modalities.metrics.base import FRACTION, RatioOfSums, collect

MAX_PSNR = 100.0
"""PSNR of equal pictures, in dB: just above the largest of two different ones of 224 x 224 pixels."""


_SSIM_WINDOW = 11


class PSNR(RatioOfSums):
    """Peak signal-to-noise ratio in dB, `MAX_PSNR` at most, averaged over pictures."""

    higher_is_better = True
    title, unit = "PSNR", "dB"

    def terms(
        self, prediction: UInt8[Tensor, "b h w 3"], target: UInt8[Tensor, "b h w 3"]
    ) -> tuple[Float[Tensor, ""], int]:
        """Sum and number of the pictures' ratios."""
        error = (prediction.double() - target.double()).square().flatten(1).mean(1) / 255**2
        ratios = -10 * torch.log10(error.clamp(min=10 ** (-MAX_PSNR / 10)))
        return ratios.sum(), len(ratios)


class SSIM(RatioOfSums):
    """Structural similarity, over all places at which a window of 11 pixels fits, averaged over pictures.

    Source: Wang et al. 2004 (doi:10.1109/TIP.2003.819861), eq. 13, with a Gaussian window of 1.5 pixels, channel by
    channel. torchmetrics' own also counts windows that reach over the border, into mirrored pixels.
    """

    higher_is_better = True
    title, unit = "SSIM", FRACTION

    def terms(
        self, prediction: UInt8[Tensor, "b h w 3"], target: UInt8[Tensor, "b h w 3"]
    ) -> tuple[Float[Tensor, ""], int]:
        """Sum and number of the pictures' similarities."""
        scores = structural_similarity(prediction, target)
        return scores.sum(), len(scores)


def structural_similarity(
    prediction: UInt8[Tensor, "b h w 3"], target: UInt8[Tensor, "b h w 3"]
) -> Float[Tensor, " b"]:
    """The structural similarity of each pair of pictures.

    Raises:
        ValueError: The pictures are smaller than the window.
    """
    one, other = (pictures.movedim(-1, 1).float() / 255 for pictures in (prediction, target))
    mean, other_mean = _gaussian_window_mean(one), _gaussian_window_mean(other)
    spread = _gaussian_window_mean(one * one) - mean * mean
    other_spread = _gaussian_window_mean(other * other) - other_mean * other_mean
    common = _gaussian_window_mean(one * other) - mean * other_mean
    luminance = (2 * mean * other_mean + 0.01**2) / (mean * mean + other_mean * other_mean + 0.01**2)
    shape = (2 * common + 0.03**2) / (spread + other_spread + 0.03**2)
    return (luminance * shape).flatten(1).double().mean(1)


def _gaussian_window_mean(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Gaussian-weighted means over windows of 11 x 11 pixels.

    Raises:
        ValueError: The pictures are smaller.
    """
    if min(maps.shape[-2:]) < _SSIM_WINDOW:
        raise ValueError(f"Pictures of {tuple(maps.shape[-2:])} pixels are too small for windows of {_SSIM_WINDOW}.")
    offset = torch.arange(_SSIM_WINDOW, device=maps.device) - _SSIM_WINDOW // 2
    weight = torch.exp(-0.5 * (offset / 1.5) ** 2)
    weight = (weight / weight.sum()).expand(maps.shape[1], 1, 1, -1)
    rows = F.conv2d(maps, weight, groups=maps.shape[1])
    return F.conv2d(rows, weight.transpose(-1, -2), groups=maps.shape[1])


class RandomConvFeatures(nn.Module):
    """A small convolutional network with fixed random weights: 96 statistics of colours and textures at three scales.

    Random convolutions tell pictures apart by their low-level statistics. Distances in its space rank generators of
    one experiment; they are not comparable with any that Inception gives, nor with those of another width.
    """

    num_features = 96

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.layers = nn.ParameterList()
        for in_channels, out_channels in ((3, 16), (16, 16), (16, 16)):
            weight = torch.randn(out_channels, in_channels, 3, 3, generator=generator) * (2 / (9 * in_channels)) ** 0.5
            self.layers.append(nn.Parameter(weight, requires_grad=False))

    @torch.no_grad()
    def forward(self, pictures: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 96"]:
        """Mean and spread over the picture of each channel, after each of three convolutions that halve it."""
        maps = pictures.movedim(-1, 1).float() / 127.5 - 1
        found = []
        for weight in self.layers:
            maps = F.leaky_relu(F.conv2d(maps, weight, stride=2, padding=1), 0.2)
            found += [maps.mean((2, 3)), maps.flatten(2).std(2, correction=0)]
        return torch.cat(found, dim=1)


def frechet_distance(
    one: tuple[Float[Tensor, " c"], Float[Tensor, "c c"]], other: tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]
) -> Float[Tensor, ""]:
    """The Frechet distance of two normal distributions, each a mean and a covariance, in double precision.

    Source: Heusel et al. 2017 (arXiv:1706.08500), eq. 6; the trace of the root of the product of both covariances is
    taken from the symmetric product, whose eigenvalues are the same and cannot turn complex by rounding.
    """
    (mean, spread), (other_mean, other_spread) = one, other
    root = _matrix_sqrt(spread)
    values = torch.linalg.eigvalsh(root @ other_spread @ root).clamp(min=0)
    distance: Tensor = (
        (mean - other_mean).square().sum() + spread.trace() + other_spread.trace() - 2 * values.sqrt().sum()
    )
    return distance.clamp(min=0)


def _matrix_sqrt(matrix: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


class RandomFeatureFrechetDistance(Metric):
    """Frechet distance between predicted and true pictures in the space of `RandomConvFeatures`.

    A scale of its own: called FID for what it computes, never to be set beside a published FID.
    """

    full_state_update = False
    higher_is_better = False
    title, unit = "FID", "own scale"
    num_pictures: Tensor

    def __init__(self, **kwargs: Any) -> None:
        """Set up the network and the sums."""
        super().__init__(**kwargs)
        self.network = RandomConvFeatures()
        width = self.network.num_features
        for side in ("predicted", "true"):
            self.add_state(f"{side}_sum", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_products", torch.zeros(width, width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_pictures", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: UInt8[Tensor, "b h w 3"], target: UInt8[Tensor, "b h w 3"]) -> None:
        """Add a batch of pictures."""
        for side, pictures in (("predicted", prediction), ("true", target)):
            rows = self.network(pictures).double()
            setattr(self, f"{side}_sum", getattr(self, f"{side}_sum") + rows.sum(0))
            setattr(self, f"{side}_products", getattr(self, f"{side}_products") + rows.T @ rows)
        self.num_pictures = self.num_pictures + len(target)

    def compute(self) -> Float[Tensor, ""]:
        """The distance; nan where nothing was added."""
        if self.num_pictures == 0:
            return torch.tensor(math.nan, device=self.num_pictures.device)
        return frechet_distance(self._moments("predicted"), self._moments("true")).float()

    def _moments(self, side: str) -> tuple[Float[Tensor, " c"], Float[Tensor, "c c"]]:
        mean = getattr(self, f"{side}_sum") / self.num_pictures
        products = getattr(self, f"{side}_products") - self.num_pictures * torch.outer(mean, mean)
        return mean, products / (self.num_pictures - 1).clamp(min=1)


def rgb_metrics() -> MetricCollection:
    """Fresh metrics of pictures: PSNR and SSIM averaged over pictures, and the Frechet distance of all together."""
    return collect(psnr=PSNR(), ssim=SSIM(), fid=RandomFeatureFrechetDistance())
