"""The Debian package: fetched, opened, and read as a list of stamps."""

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modalities import DataError

PACKAGE = "tuxpaint-stamps-default"
STAMPS = "usr/share/tuxpaint/stamps"
"""Folder of the stamps in the package, and below / where it is installed."""
COPYRIGHT = "usr/share/doc/tuxpaint-stamps-default/copyright"
_MAGIC, _HEADER = b"!<arch>\n", 60


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """One stamp; None stands for what it lacks."""

    key: str
    """Path of its files below the folder of stamps, without the type: ``animals/amphibians/frog``."""
    picture: Path
    names: dict[str, str]
    """What it shows, by language; ``en`` is the original."""
    sound: Path | None
    """A sound of its own."""
    speech: Path | None
    """Its name, spoken in French."""

    @property
    def category(self) -> str:
        """The folders that it lies in, two at most, in words."""
        return " ".join(self.key.split("/")[:-1][:2])


def fetch_package(folder: Path) -> Path:
    """Download the package with apt into a folder, and return the file's path.

    Raises:
        DataError: apt is missing, or fails.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise DataError(f"apt-get is not installed: get the Debian package {PACKAGE} and pass --package FILE.deb.")
    done = subprocess.run([apt, "download", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
    files = sorted(folder.glob("*.deb"))
    if done.returncode or not files:
        raise DataError(f"apt-get download {PACKAGE} failed: {' '.join(done.stderr.split())[:300]}.")
    return files[0]


def unpack(package: Path, folder: Path) -> Path:
    """Extract the stamps of a .deb file, and return the folder that holds them.

    Raises:
        DataError: The file is no Debian package, or has no stamps.
    """
    try:
        with package.open("rb") as file:
            _seek_data(file, package)
            with tarfile.open(fileobj=file, mode="r|*") as tar:
                tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{package} could not be opened as a Debian package: {error}.") from error
    if not (folder / STAMPS).is_dir():
        raise DataError(f"{package} has no folder {STAMPS}, expected the package {PACKAGE}.")
    return folder / STAMPS


def _seek_data(file: IO[bytes], package: Path) -> None:
    """Move to the archive of files within a .deb, which is an `ar` archive of three members (deb(5))."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise DataError(f"{package} is no Debian package: it does not begin with {_MAGIC!r}.")
    while header := file.read(_HEADER):
        if header[:16].startswith(b"data.tar"):
            return
        size = int(header[48:58])
        file.seek(size + size % 2, 1)
    raise DataError(f"{package} has no member data.tar: it is not a whole Debian package.")


def read_stamps(root: Path) -> list[Stamp]:
    """All stamps with a picture in .png and a name; mirrored copies and drawings in .svg are left out."""
    pictures = [path for path in sorted(root.rglob("*.png")) if not path.stem.endswith("_mirror")]
    return [_read_stamp(root, path) for path in pictures if path.with_suffix(".txt").is_file()]


def _read_stamp(root: Path, picture: Path) -> Stamp:
    return Stamp(
        key=picture.relative_to(root).with_suffix("").as_posix(),
        picture=picture,
        names=read_names(picture.with_suffix(".txt")),
        sound=_first_file(picture.with_suffix(".ogg"), picture.with_suffix(".wav")),
        speech=_first_file(picture.with_name(f"{picture.stem}_desc_fr.ogg")),
    )


def read_names(path: Path) -> dict[str, str]:
    """The names in a stamp's text: English in the first line, then ``LANGUAGE.utf8=NAME``."""
    first, *others = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    found = {"en": first.strip()}
    for line in others:
        language, _, name = line.partition(".utf8=")
        found[language] = name.strip()
    return {language: name for language, name in found.items() if name}


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
