"""Sounds as grids: a tone lies in its band at its level, silence is the floor, and loops give the same numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fourm_stamps.modalities import SOUND
from fourm_stamps.sound import FLOOR, HIGHEST, LOWEST, NUM_BANDS, RATE, WINDOW, log_mel, mel_filters, read_sound
from modalities import DataError


def _tone(hertz: float, rate: int, seconds: float = 2.5) -> NDArray[Any]:
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def _centers() -> NDArray[Any]:
    low, high = (float(2595 * np.log10(1 + f / 700)) for f in (LOWEST, HIGHEST))
    return np.array([700 * (10 ** (mel / 2595) - 1) for mel in np.linspace(low, high, NUM_BANDS + 2)[1:-1]])


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("hertz", [440.0, 1500.0, 3000.0])
def test_a_tone_of_full_scale_has_its_band_and_no_decibels(hertz: float, rate: int) -> None:
    levels = log_mel(_tone(hertz, rate), rate)
    loudest = NUM_BANDS - 1 - int(levels[:, 20].argmax())
    assert abs(loudest - int(np.abs(_centers() - hertz).argmin())) <= 1
    assert abs(levels[:, 20].max()) < 4
    assert levels[0, 20] < -60


def test_half_the_amplitude_is_six_decibels_less() -> None:
    tone = _tone(1000, RATE)
    assert np.allclose((log_mel(tone, RATE) - log_mel(tone / 2, RATE))[:, 10].max(), 20 * np.log10(2), atol=0.01)


def test_silence_and_what_follows_the_end_are_the_floor() -> None:
    assert (log_mel(np.zeros(100, np.float32), RATE) == FLOOR).all()
    levels = log_mel(_tone(500, RATE, 1.0), RATE)
    assert levels[:, 10].max() > -5
    assert (levels[:, 40:] == FLOOR).all()


def test_filters_are_triangles_on_the_mel_scale() -> None:
    found, hertz = mel_filters(), np.fft.rfftfreq(WINDOW, 1 / RATE)
    edges = np.concatenate([[LOWEST], _centers(), [HIGHEST]])
    for band in (20, 40, 63):
        low, middle, high = edges[band : band + 3]
        assert (high - middle) > RATE / WINDOW
        expected = [max(0.0, min((f - low) / (middle - low), (high - f) / (high - middle))) for f in hertz]
        assert np.allclose(found[band], expected)
    assert (found.max(axis=1) > 0.4).all()


def test_files_are_read_by_their_type(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    stereo = np.stack([_tone(700, 44_100), np.zeros(int(44_100 * 2.5), np.float32)], axis=1)
    for name in ("tone.wav", "tone.flac", "tone.ogg"):
        soundfile.write(tmp_path / name, stereo, 44_100)
        samples, rate = read_sound(tmp_path / name)
        assert rate == 44_100
        assert abs(np.abs(samples).max() - 0.5) < 0.02
        levels = SOUND.read_file(tmp_path / name)
        assert levels.shape == (64, 64)
        assert abs(levels[:, 20].max() + 6) < 4


def test_damaged_files_are_named(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    (tmp_path / "bad.ogg").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"bad\.ogg is not a whole sound"):
        SOUND.read_file(tmp_path / "bad.ogg")
    with pytest.raises(DataError, match=r"There is no file .*none\.wav"):
        SOUND.read_file(tmp_path / "none.wav")
