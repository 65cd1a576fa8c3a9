"""The npm package: fetched, opened, and read as a list of emoji."""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalities import DataError

PACKAGE = "emoji-datasource-google@16.0.0"
"""Name and version, as npm takes them."""
PICTURES = "img/google/64"
"""Folder of the pictures of 64 x 64 pixels in the package."""

SKIN_TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
"""Names of the code points that modify the colour of skin."""
_PEOPLE = ("1F468", "1F469", "1F9D1")
"""Man, woman, person: first code points of emoji that differ in nothing else."""
_GENDER_SIGNS = ("2640", "2642")
_JOINERS = ("200D", "FE0F")


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """One picture."""

    code: str
    """Code points in hexadecimal, joined by hyphens: ``1F44B-1F3FD``."""
    image: str
    """Name of the picture's file."""
    names: tuple[str, ...]
    """What it is called, in lower case; the first is Unicode's name."""
    category: str

    @property
    def group(self) -> str:
        """The code points without skin, gender and joiners: the same for all variants of one drawing."""
        kept = [point for point in self.code.split("-") if point not in (*SKIN_TONES, *_GENDER_SIGNS, *_JOINERS)]
        # The swatches of skin are nothing but a colour of skin.
        return "-".join("person" if point in _PEOPLE else point for point in kept).lower() or "skin"

    @property
    def key(self) -> str:
        """Name of the sample: the group, and the code."""
        return f"{self.group}__{self.code.lower()}"


def fetch_package(folder: Path) -> Path:
    """Download the package with npm into a folder, and return the archive's path.

    Raises:
        DataError: npm is missing, or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"npm is not installed: get {PACKAGE} as a .tgz by other means and pass --package FILE.")
    done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode or not archives:
        raise DataError(f"npm pack {PACKAGE} failed: {' '.join(done.stderr.split())[:300]}.")
    return archives[0]


def unpack(archive: Path, folder: Path) -> Path:
    """Extract what is needed of the package, and return its root.

    Raises:
        DataError: The file is no such package.
    """
    try:
        with tarfile.open(archive) as tar:
            wanted = [item for item in tar if item.name == "package/emoji.json" or f"/{PICTURES}/" in item.name]
            tar.extractall(folder, members=wanted, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{archive} could not be opened as the package {PACKAGE}: {error}.") from error
    return folder / "package"


def read_emoji(root: Path) -> list[Emoji]:
    """All emoji of the package, each skin tone one.

    Raises:
        DataError: The package has no list of emoji.
    """
    path = root / "emoji.json"
    if not path.is_file():
        raise DataError(f"{path} is missing: expected the npm package {PACKAGE}.")
    return [emoji for record in json.loads(path.read_text(encoding="utf-8")) for emoji in _variants(record)]


def _variants(record: Mapping[str, Any]) -> Iterator[Emoji]:
    """The emoji of a record, and its skin tones."""
    name = str(record["name"]).lower()
    short = [str(item).replace("_", " ").replace("-", " ") for item in record["short_names"]]
    names, category = tuple(dict.fromkeys([name, *short])), str(record["category"])
    yield Emoji(code=record["unified"], image=record["image"], names=names, category=category)
    for tones, variant in record.get("skin_variations", {}).items():
        words = " and ".join(dict.fromkeys(SKIN_TONES[tone] for tone in tones.split("-"))) + " skin tone"
        yield Emoji(
            code=variant["unified"],
            image=variant["image"],
            names=tuple(f"{item}, {words}" for item in names),
            category=category,
        )
