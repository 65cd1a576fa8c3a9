"""Sounds as grids: the logarithm of power by time and by frequency on the mel scale.

Source: Davis and Mermelstein 1980, with the mel scale of O'Shaughnessy 1987: 2595 log10(1 + f / 700).
"""

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from scipy.signal import resample_poly

from modalities import DataError

RATE = 16_000
"""Samples a second that sounds are resampled to."""
WINDOW, HOP = 1024, 512
"""Length of a Hann window and distance of windows, in samples: 64 and 32 ms."""
NUM_FRAMES, NUM_BANDS = 64, 64
"""Windows of a grid, which are 2.05 seconds, and bands of frequency."""
LOWEST, HIGHEST = 50.0, 8000.0
"""Ends of the bands, in Hz."""
FLOOR = -80.0
"""Level of silence, in decibels below a sine of full scale."""
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")


def read_sound(path: Path) -> tuple[Float32[np.ndarray, " n"], int]:
    """The samples of an audio file, channels averaged, from -1 to 1, and their rate.

    Raises:
        DataError: The file is missing or damaged, or soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise DataError(f"{path} needs the package soundfile: pip install soundfile.") from error
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{path} is not a whole sound: {' '.join(str(error).split()).rstrip('.')}.") from error
    if not len(samples):
        raise DataError(f"{path} has no samples, expected a sound.")
    return samples.mean(axis=1), int(rate)


def log_mel(samples: Float[np.ndarray, " n"], rate: int) -> Float32[np.ndarray, "bands frames"]:
    """Decibels below a sine of full scale in the first two seconds; silence after the end. The lowest band is last."""
    sound = samples if rate == RATE else resample_poly(samples, *_ratio(rate))
    length = NUM_FRAMES * HOP
    padded = np.zeros(WINDOW // 2 + length + WINDOW, np.float64)
    kept = sound[:length]
    padded[WINDOW // 2 : WINDOW // 2 + len(kept)] = kept
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: NUM_FRAMES * HOP : HOP]
    hann = np.hanning(WINDOW + 1)[:-1]
    # A sine of amplitude 1 has the power 1 in its bin.
    power = np.abs(np.fft.rfft(windows * hann, axis=1) * 2 / hann.sum()) ** 2
    bands = power @ mel_filters().T
    decibels = 10 * np.log10(np.maximum(bands, 10 ** (FLOOR / 10)))
    levels: Float32[np.ndarray, "bands frames"] = decibels.T[::-1].astype(np.float32)
    return levels


@functools.lru_cache(maxsize=1)
def mel_filters() -> Float[np.ndarray, "bands bins"]:
    """Triangles over the bins of the spectrum, evenly spaced on the mel scale, each with its peak at 1."""
    edges = _mel_to_hertz(np.linspace(_hertz_to_mel(LOWEST), _hertz_to_mel(HIGHEST), NUM_BANDS + 2))
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    # No triangle is narrower than two bins, or the lowest bands would hold none.
    width = np.maximum(np.diff(edges), RATE / WINDOW)
    center = edges[1:-1, None]
    rising = 1 - (center - hertz) / width[:-1, None]
    falling = 1 - (hertz - center) / width[1:, None]
    found: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return found


def _hertz_to_mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 700 * (10 ** (mel / 2595) - 1)
    return found


def _ratio(rate: int) -> tuple[int, int]:
    """Factors of up- and downsampling from ``rate`` to `RATE`."""
    common = int(np.gcd(RATE, rate))
    return RATE // common, rate // common
