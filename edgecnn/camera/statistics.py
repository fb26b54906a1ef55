"""Statistics of frames that depend on the camera, and how far apart two sets of frames are.

In one frame the scene dominates; over a hundred frames, mean and spread show the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = [
    "STATISTICS",
    "WORDS",
    "Distance",
    "Window",
    "common_window",
    "frame_statistics",
    "noise_floor",
    "spread",
    "statistic_distance",
]

_BANDS = ((0.02, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.51), (0.51, 0.75))
_PERCENTILES = (1, 10, 50, 90, 99)
_QUANTILES = (np.arange(40) + 0.5) / 40
# The scale of a statistic that hardly varies, in its own unit.
_LEAST_SCALE = 0.02
# The matrix of the DCT, float32 (8, 8), and its coefficients without the lowest frequencies.
_DCT = cv2.dct(np.eye(8), flags=cv2.DCT_ROWS).T.astype(np.float32)
_NOT_LOWEST = np.add.outer(np.arange(8), np.arange(8)) >= 2

# Names, in the order of the columns of `frame_statistics`.
STATISTICS: tuple[str, ...] = (
    "brightness",  # mean of the logs of the R, G, B means
    "red_green",  # log of the ratio of the means
    "blue_green",
    "noise_luma",  # log of the mean absolute response of Immerkaer's mask
    "noise_red",  # the same on R - Y, B - Y
    "noise_blue",
    "sharpness",  # log of the variance of the Laplacian
    *(f"band_{k}" for k in range(len(_BANDS))),  # log power by spatial frequency, low to high
    "blockiness",  # log: steps across 8x8 block borders over steps inside blocks
    "quantized",  # more DCT coefficients near 0 on the 8x8 grid than half a block off it
    *(f"luma_p{p}" for p in _PERCENTILES),  # share of full scale
    "dark_share",  # luma below 8 or above 247
    "bright_share",
    "flat_share",  # neighbours that differ by less than half a grey level
    "direction",  # log: fine detail across over fine detail down
    "diagonal",  # the same for the two diagonals
    "corner_light",  # log: middle over corners
    "slope",  # of the light from one side to the other, share of the mean
    "saturation",  # mean of (max - min) / max over R, G, B
)

# The same for a person.
WORDS: dict[str, str] = {
    "brightness": "brightness",
    "red_green": "red against green",
    "blue_green": "blue against green",
    "noise_luma": "noise of brightness",
    "noise_red": "noise of red",
    "noise_blue": "noise of blue",
    "sharpness": "sharpness",
    **{
        f"band_{k}": f"{size} detail"
        for k, size in enumerate(
            ("very coarse", "coarse", "medium", "fine", "very fine", "the finest")
        )
    },
    "blockiness": "blocks of 8x8 pixels",
    "quantized": "traces of JPEG",
    "luma_p1": "the darkest tones",
    "luma_p10": "dark tones",
    "luma_p50": "middle tones",
    "luma_p90": "light tones",
    "luma_p99": "the lightest tones",
    "dark_share": "pure black",
    "bright_share": "pure white",
    "flat_share": "even areas",
    "direction": "detail across against detail down",
    "diagonal": "detail along one diagonal against the other",
    "corner_light": "light of the corners",
    "slope": "light from one side",
    "saturation": "strength of colour",
}


class Window:
    """The part of every frame that the statistics use: its middle, at capture resolution.

    Noise, blur and JPEG affect single pixels, so a large frame is cut, never made smaller.
    Frames of another size are first scaled to cover `frame_wh`.

    Args:
        frame_wh: The size to which frames are scaled, in pixels.
        largest: Longest side of the window, a multiple of 8.
    """

    def __init__(self, frame_wh: tuple[int, int], largest: int = 64) -> None:
        self.frame_wh = frame_wh
        self.size_wh = (min(frame_wh[0], largest), min(frame_wh[1], largest))

    def scale(self, frame: np.ndarray) -> float:
        """The factor that enlarges (> 1) or reduces a frame to cover `frame_wh`."""
        height, width = frame.shape[:2]
        return float(max(self.frame_wh[0] / width, self.frame_wh[1] / height))

    def cut(self, frame_bgr: np.ndarray) -> np.ndarray:
        """Cut the window from a frame: uint8, shape (size_wh[1], size_wh[0], 3), B, G, R.

        It starts at a multiple of 8 pixels of the frame, where a JPEG block starts.
        """
        width, height = self.frame_wh
        if frame_bgr.shape[:2] != (height, width):
            frame_bgr = self._cover(frame_bgr)
        left = (width - self.size_wh[0]) // 2 // 8 * 8
        top = (height - self.size_wh[1]) // 2 // 8 * 8
        return frame_bgr[top : top + self.size_wh[1], left : left + self.size_wh[0]]

    def _cover(self, frame: np.ndarray) -> np.ndarray:
        (width, height), scale = self.frame_wh, self.scale(frame)
        size_wh = (
            max(width, round(frame.shape[1] * scale)),
            max(height, round(frame.shape[0] * scale)),
        )
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        large = np.asarray(cv2.resize(frame, size_wh, interpolation=way))
        left, top = (size_wh[0] - width) // 2, (size_wh[1] - height) // 2
        return large[top : top + height, left : left + width]


def common_window(frames_bgr: Sequence[np.ndarray]) -> Window:
    """The window for these frames, at their median width and height."""
    sizes = np.array([frame.shape[1::-1] for frame in frames_bgr])
    width, height = np.median(sizes, axis=0)
    return Window((max(8, round(float(width))), max(8, round(float(height)))))


def frame_statistics(frames_bgr: np.ndarray) -> np.ndarray:
    """Statistics of frames of one size.

    Args:
        frames_bgr: uint8, shape (n, h, w, 3), B, G, R, sides of at least 8 pixels.

    Returns:
        float32, shape (n, len(STATISTICS)), in the order of STATISTICS.

    Source of the noise mask: Immerkaer 1996, doi:10.1006/cviu.1996.0060.
    """
    blue, green, red = (frames_bgr[..., k].astype(np.float32) for k in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    columns = [
        *_colour(red, green, blue),
        *(np.log(0.5 + _noise(plane)) for plane in (luma, red - luma, blue - luma)),
        *_detail(luma),
        *_jpeg_traces(luma),
        *_tones(luma),
        *_directions(luma),
        *_evenness(luma),
        _saturation(frames_bgr),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _colour(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> list[np.ndarray]:
    logs = [np.log(plane.mean(axis=(1, 2)) + 1) for plane in (red, green, blue)]
    return [sum(logs) / np.float32(3), logs[0] - logs[1], logs[2] - logs[1]]


def _noise(planes: np.ndarray) -> np.ndarray:
    """Mean absolute response of [1 -2 1; -2 4 -2; 1 -2 1], as two second differences."""
    rows = planes[:, 2:] - 2 * planes[:, 1:-1] + planes[:, :-2]
    both = rows[:, :, 2:] - 2 * rows[:, :, 1:-1] + rows[:, :, :-2]
    return np.asarray(np.abs(both).mean(axis=(1, 2)))


def _detail(luma: np.ndarray) -> list[np.ndarray]:
    """Laplacian variance and power in six bands of radial frequency (cycles a pixel)."""
    inner = luma[:, 1:-1, 1:-1]
    laplacian = luma[:, 2:, 1:-1] + luma[:, :-2, 1:-1] + luma[:, 1:-1, 2:] + luma[:, 1:-1, :-2]
    sharpness = np.log(1 + (laplacian - 4 * inner).var(axis=(1, 2)))
    count, height, width = luma.shape
    spectrum = np.fft.rfft2(luma - luma.mean(axis=(1, 2), keepdims=True))
    power = (spectrum.real**2 + spectrum.imag**2).reshape(count, -1) / (height * width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]).ravel()
    bands = []
    for low, high in _BANDS:
        inside = (frequency >= low) & (frequency < high)
        bands.append(np.log(1 + power[:, inside].mean(axis=1)) if inside.any() else 0 * sharpness)
    return [sharpness, *bands]


def _jpeg_traces(luma: np.ndarray) -> list[np.ndarray]:
    across = np.abs(np.diff(luma, axis=2)).mean(axis=1)
    down = np.abs(np.diff(luma, axis=1)).mean(axis=2)
    border_x, border_y = np.arange(across.shape[1]) % 8 == 7, np.arange(down.shape[1]) % 8 == 7
    if not (border_x.any() and border_y.any()):
        return [np.zeros(len(luma)), np.zeros(len(luma))]
    borders = across[:, border_x].mean(axis=1) + down[:, border_y].mean(axis=1) + 0.5
    inside = across[:, ~border_x].mean(axis=1) + down[:, ~border_y].mean(axis=1) + 0.5
    on_grid, off_grid = _small_coefficients(luma), _small_coefficients(luma[:, 4:, 4:])
    return [np.log(borders / inside), on_grid - off_grid]


def _small_coefficients(luma: np.ndarray) -> np.ndarray:
    """Share of 8x8 DCT coefficients below 1 grey level, without the lowest frequencies.

    JPEG quantization turns small coefficients into zeros.
    """
    rows, columns = luma.shape[1] // 8, luma.shape[2] // 8
    if not (rows and columns):
        return np.zeros(len(luma))
    blocks = luma[:, : rows * 8, : columns * 8].reshape(len(luma), rows, 8, columns, 8)
    blocks = blocks.transpose(0, 1, 3, 2, 4)
    spectrum = np.abs(_DCT @ blocks @ _DCT.T)
    return np.asarray((spectrum < 1.0)[..., _NOT_LOWEST].mean(axis=(1, 2, 3)))


def _tones(luma: np.ndarray) -> list[np.ndarray]:
    flat = np.sort(luma.reshape(len(luma), -1), axis=1)
    places = [round(p / 100 * (flat.shape[1] - 1)) for p in _PERCENTILES]
    percentiles = [flat[:, place] / 255 for place in places]
    steps = np.abs(np.diff(luma, axis=2)) < 0.5
    dark, bright = (flat < 8).mean(axis=1), (flat > 247).mean(axis=1)
    return [*percentiles, dark, bright, steps.mean(axis=(1, 2))]


def _directions(luma: np.ndarray) -> list[np.ndarray]:
    """Second differences along four directions; motion blur weakens those along its own."""

    def strength(second: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(0.5 + np.abs(second).mean(axis=(1, 2))))

    centre = 2 * luma[:, 1:-1, 1:-1]
    across = strength(luma[:, 1:-1, 2:] + luma[:, 1:-1, :-2] - centre)
    down = strength(luma[:, 2:, 1:-1] + luma[:, :-2, 1:-1] - centre)
    falling = strength(luma[:, 2:, 2:] + luma[:, :-2, :-2] - centre)
    rising = strength(luma[:, :-2, 2:] + luma[:, 2:, :-2] - centre)
    return [across - down, falling - rising]


def _evenness(luma: np.ndarray) -> list[np.ndarray]:
    """The light in the middle relative to the corners, and its slope across the frame."""
    _, height, width = luma.shape
    x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    radius2 = x**2 + y**2
    middle, corner = radius2 < 0.5, radius2 > 1.2
    fall = np.log((luma[:, middle].mean(axis=1) + 4) / (luma[:, corner].mean(axis=1) + 4))
    mean = luma.mean(axis=(1, 2)) + 4
    slope_x = (luma.mean(axis=1) * x).mean(axis=1) / mean
    slope_y = (luma.mean(axis=2) * y[:, 0]).mean(axis=1) / mean
    return [fall, 3 * np.hypot(slope_x, slope_y)]


def _saturation(frames_bgr: np.ndarray) -> np.ndarray:
    top = frames_bgr.max(axis=3).astype(np.float32)
    return np.asarray(((top - frames_bgr.min(axis=3)) / np.maximum(top, 1)).mean(axis=(1, 2)))


@dataclass(frozen=True)
class Distance:
    """The mean 1-Wasserstein distance over all statistics, in standard deviations.

    0: alike. 1: the typical statistic differs by its own spread. `by_statistic` has the parts.
    """

    value: float
    by_statistic: dict[str, float]

    def worst(self, count: int = 3) -> list[str]:
        """Name the statistics that differ most, the largest difference first."""
        order = sorted(self.by_statistic, key=lambda name: -self.by_statistic[name])
        return order[:count]


def statistic_distance(
    field: np.ndarray, other: np.ndarray, scale: np.ndarray | None = None
) -> Distance:
    """Measure the distance between two sets of frames.

    Args:
        field, other: Statistics as `frame_statistics` gives them, shapes (n, s) and (m, s).
        scale: The unit for each statistic, shape (s,); by default `spread` of both sets.
            Compare two distances only when they were measured in the same scale.
    """
    scale = spread(field, other) if scale is None else scale
    gaps = np.abs(np.quantile(field, _QUANTILES, axis=0) - np.quantile(other, _QUANTILES, axis=0))
    parts = gaps.mean(axis=0) / scale
    names = dict(zip(STATISTICS, map(float, parts), strict=True))
    return Distance(float(parts.mean()), names)


def spread(field: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Standard deviation of each statistic within the two sets: float, shape (s,)."""
    inside = np.sqrt((field.var(axis=0) + other.var(axis=0)) / 2)
    return np.asarray(np.maximum(inside, _LEAST_SCALE))


def noise_floor(
    population: np.ndarray, count: int, scale: np.ndarray, rng: np.random.Generator
) -> float:
    """Distance that chance alone makes: from `count` random frames to all (mean of 5 draws)."""
    count = min(count, len(population))
    picks = (rng.integers(0, len(population), count) for _ in range(5))
    return float(
        np.mean([statistic_distance(population[p], population, scale).value for p in picks])
    )
