"""Emoji of a made-up package: pictures, masks, names of skin tones, and groups that splits go by."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fourm_emoji.__main__ import main
from fourm_emoji.build import read_picture
from fourm_emoji.package import Emoji, read_emoji, unpack
from modalities import DataError

WAVE = {
    "name": "WAVING HAND SIGN",
    "unified": "1F44B",
    "image": "1f44b.png",
    "short_names": ["wave"],
    "category": "People & Body",
    "skin_variations": {
        "1F3FB": {"unified": "1F44B-1F3FB", "image": "1f44b-1f3fb.png"},
        "1F3FB-1F3FF": {"unified": "1F44B-1F3FB-1F3FF", "image": "1f44b-1f3fb-1f3ff.png"},
    },
}
FLAG = {
    "name": "Egypt Flag",
    "unified": "1F1EA-1F1EC",
    "image": "1f1ea-1f1ec.png",
    "short_names": ["flag-eg"],
    "category": "Flags",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two emoji, one of them in three colours of skin, as npm packs it."""
    root = tmp_path / "source" / "package"
    pictures = root / "img" / "google" / "64"
    pictures.mkdir(parents=True)
    (root / "emoji.json").write_text(json.dumps([WAVE, FLAG]))
    pixels = np.zeros((64, 64, 4), np.uint8)
    # Under what is fully transparent lies red, which must not show.
    pixels[...] = (255, 0, 0, 0)
    pixels[16:48, 16:48] = (0, 0, 200, 255)
    for name in ("1f44b", "1f44b-1f3fb", "1f44b-1f3fb-1f3ff", "1f1ea-1f1ec"):
        Image.fromarray(pixels).save(pictures / f"{name}.png")
    archive = tmp_path / "emoji.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root, "package")
    return archive


def test_the_command_writes_aligned_folders(package: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(out), "--package", str(package)]) == 0
    stems = {folder.name: {path.stem for path in folder.iterdir()} for folder in out.iterdir() if folder.is_dir()}
    assert set(stems) == {"rgb", "caption", "emoji_mask", "emoji_category"}
    assert len({frozenset(names) for names in stems.values()}) == 1
    assert len(stems["rgb"]) == 4
    picture = np.asarray(Image.open(out / "rgb" / "1f1ea-1f1ec__1f1ea-1f1ec.png"))
    mask = np.asarray(Image.open(out / "emoji_mask" / "1f1ea-1f1ec__1f1ea-1f1ec.png"))
    assert mask.sum() == 32 * 32
    assert (picture[mask == 0] == 255).all()
    assert (picture[mask == 1] == [0, 0, 200]).all()
    assert (out / "caption" / "1f44b__1f44b-1f3fb.txt").read_text().splitlines() == [
        "waving hand sign, light skin tone",
        "wave, light skin tone",
    ]
    assert (out / "emoji_category" / "1f44b__1f44b.txt").read_text() == "people & body\n"
    assert json.loads((out / "data.json").read_text())["emoji"] == 4


def test_names_of_two_skin_tones_say_both(package: Path, tmp_path: Path) -> None:
    found = {emoji.code: emoji.names for emoji in read_emoji(unpack(package, tmp_path))}
    assert found["1F44B-1F3FB-1F3FF"][0] == "waving hand sign, light and dark skin tone"


@pytest.mark.parametrize(
    ("codes", "are_one"),
    [
        (("1F44B", "1F44B-1F3FB", "1F44B-1F3FF"), True),
        (("1F3C3", "1F3C3-200D-2640-FE0F", "1F3C3-1F3FD-200D-2642-FE0F"), True),
        (("1F468-200D-1F373", "1F469-1F3FC-200D-1F373", "1F9D1-200D-1F373"), True),
        (("1F3FB", "1F3FC"), True),
        (("1F1EA-1F1EC", "1F1EA-1F1F8"), False),
    ],
)
def test_variants_of_one_drawing_have_one_group(codes: tuple[str, ...], *, are_one: bool) -> None:
    groups = {Emoji(code=code, image="", names=("x",), category="").group for code in codes}
    assert len(groups) == (1 if are_one else len(codes))


def test_half_transparent_pixels_are_mixed_with_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 4), (0, 0, 0, 128), np.uint8)).save(tmp_path / "half.png")
    picture, mask = read_picture(tmp_path / "half.png")
    assert abs(int(picture[0, 0, 0]) - 127) <= 1
    assert mask.all()


def test_another_file_is_no_package(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "other.tgz").write_bytes(b"no archive")
    assert main([str(tmp_path / "out"), "--package", str(tmp_path / "other.tgz")]) == 1
    assert "could not be opened as the package emoji-datasource-google" in caplog.text
    with pytest.raises(DataError, match=r"emoji\.json is missing"):
        read_emoji(tmp_path)
