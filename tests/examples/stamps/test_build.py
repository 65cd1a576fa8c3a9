"""Stamps of a made-up Debian package: what each has, what it lacks, and how its picture is squared."""

import io
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourm_stamps.__main__ import main
from fourm_stamps.build import read_picture
from fourm_stamps.package import STAMPS, read_names, read_stamps
from modalities import DataError

soundfile = pytest.importorskip("soundfile")

NAMES = "A frog.\nfr.utf8=Une grenouille.\nja.utf8=カエル\nde.utf8=\n"


def _png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 4), (10, 200, 30, 255), np.uint8)).save(file, "PNG")
    return file.getvalue()


def _sound(amplitude: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, amplitude * np.sin(np.arange(16_000) / 5), 16_000, format="OGG")
    return file.getvalue()


def _debian_package(files: dict[str, bytes]) -> bytes:
    """A .deb as deb(5) describes it: an `ar` archive of a version, control data and files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{STAMPS}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(data.getvalue())}
    found = b"!<arch>\n"
    for name, content in members.items():
        found += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        found += content + b"\n" * (len(content) % 2)
    return found


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "stamps.deb"
    path.write_bytes(
        _debian_package(
            {
                "animals/amphibians/frog.png": _png(60, 30),
                "animals/amphibians/frog.txt": NAMES.encode(),
                "animals/amphibians/frog.ogg": _sound(0.5),
                "animals/amphibians/frog_desc_fr.ogg": _sound(0.2),
                "animals/amphibians/frog_mirror.png": _png(60, 30),
                "town/church.png": _png(300, 200),
                "town/church.txt": b"A church.\n",
                "town/church.ogg": _sound(0.0),
                "town/nameless.png": _png(10, 10),
            }
        )
    )
    return path


def test_the_command_writes_what_each_stamp_has(package: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(out), "--package", str(package)]) == 0
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    frog, church = "animals/amphibians/frog", "town/church"
    assert found == {
        "data.json",
        *(f"{name}/{key}.png" for key in (frog, church) for name in ("rgb", "stamp_mask")),
        *(f"{name}/{key}.txt" for key in (frog, church) for name in ("caption", "stamp_category")),
        *(f"stamp_caption_{language}/{frog}.txt" for language in ("fr", "ja")),
        f"stamp_sound/{frog}.ogg",
        f"stamp_speech/{frog}.ogg",
    }
    assert (out / "stamp_caption_ja" / f"{frog}.txt").read_text(encoding="utf-8") == "カエル\n"
    assert (out / "stamp_category" / f"{frog}.txt").read_text() == "animals amphibians\n"


def test_pictures_are_squared_with_white_and_not_enlarged(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(_png(60, 30))
    picture, mask = read_picture(tmp_path / "wide.png")
    assert picture.shape == (60, 60, 3)
    assert mask.sum() == 60 * 30
    assert mask[15:45].all()
    assert (picture[mask == 0] == 255).all()
    assert (picture[mask == 1] == [10, 200, 30]).all()
    (tmp_path / "large.png").write_bytes(_png(300, 200))
    assert read_picture(tmp_path / "large.png")[0].shape == (128, 128, 3)


def test_languages_without_a_name_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "frog.txt").write_text(NAMES, encoding="utf-8")
    assert read_names(tmp_path / "frog.txt") == {"en": "A frog.", "fr": "Une grenouille.", "ja": "カエル"}


def test_another_file_is_no_package(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "other.deb").write_bytes(b"PK something else")
    assert main([str(tmp_path / "out"), "--package", str(tmp_path / "other.deb")]) == 1
    assert "other.deb is no Debian package" in caplog.text


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png is not a whole image"):
        read_picture(tmp_path / "bad.png")
    assert read_stamps(tmp_path) == []
