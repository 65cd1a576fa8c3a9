"""A page of pictures: one row a sample, all of its modalities, so that a person sees what no check can."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from experiments.doctor.checks.duplicates import image_modality
from experiments.doctor.examine import Diagnosis
from experiments.doctor.findings import Finding, Severity
from experiments.doctor.overlays import is_in_frame, overlay
from experiments.doctor.samples import Reading, Sample, read_samples, select_evenly
from experiments.doctor.terminal import summary_line
from modalities.layouts import Dense
from modalities.rendering.sheet import encode_png, render_value
from modalities.spec import Modality
from modalities.storage.atomic import atomic_write_text

MAX_FAULTY = 60
"""Samples with errors or warnings that are shown before those at even steps."""
MAX_FINDINGS = 200
"""Findings that the page lists."""
JPEG_QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One modality of one sample."""

    title: str
    picture: str = ""
    """The picture as a data URI."""
    text: str = ""
    """The text, where there is no picture."""
    state: str = "present"
    """present, missing, unreadable, or overlay for lines over the photograph."""
    is_in_frame: bool = False
    """True where the photograph may be shown under the picture."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sample."""

    split: str
    key: str
    photograph: str
    """The sample's image as a data URI; empty where there is none."""
    tiles: tuple[Tile, ...]


def choose_samples(diagnosis: Diagnosis, num_rows: int) -> list[tuple[str, str]]:
    """Splits and keys of the samples to show: those with errors and warnings, then others at even steps of all splits.

    Args:
        num_rows: Samples besides the first `MAX_FAULTY` that something was found of.
    """
    faulty = [(item.split, item.key) for item in diagnosis.findings if item.severity is not Severity.note and item.key]
    chosen = list(dict.fromkeys(faulty))[:MAX_FAULTY]
    per_split = max(1, num_rows // max(1, len(diagnosis.splits)))
    for split in diagnosis.splits:
        keys = diagnosis.subject.source.keys(split.name)
        read = select_evenly(keys, split.read)
        chosen += [(split.name, key) for key in select_evenly(read, per_split)]
    return list(dict.fromkeys(chosen))


def render_samples(diagnosis: Diagnosis, chosen: Sequence[tuple[str, str]]) -> list[Row]:
    """The rows of some samples, which are read again."""
    source, modalities = diagnosis.subject.source, diagnosis.subject.modalities
    return [
        render_sample(sample, modalities)
        for split, key in chosen
        for sample in read_samples(source, modalities, split, [key])
    ]


def render_sample(sample: Sample, modalities: Mapping[str, Modality]) -> Row:
    """The tiles of a sample: the photograph, every other modality, and after it the same over the photograph."""
    image = image_modality(modalities)
    photograph = _photograph(sample.readings[image], modalities[image]) if image else None
    tiles: list[Tile] = []
    for name in sorted(modalities, key=lambda item: item != image):
        tiles += _tiles(modalities[name], sample.readings[name], photograph, modalities[image].title if image else "")
    uri = "" if photograph is None else _data_uri(photograph, is_map=False)
    return Row(split=sample.split, key=sample.key, photograph=uri, tiles=tuple(tiles))


def write_page(path: Path, diagnosis: Diagnosis, rows: Sequence[Row]) -> None:
    """Write the page, atomically; it needs no other file and no network.

    Raises:
        DataError: The file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("experiments.doctor"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {(row.split, row.key): f"sample-{number}" for number, row in enumerate(rows)}
    findings = [item for item in diagnosis.findings if item.severity is not Severity.note]
    page = environment.get_template("samples.html").render(
        source=diagnosis.subject.source,
        scale=diagnosis.subject.config.scale,
        splits=diagnosis.splits,
        notes=diagnosis.notes,
        summary=summary_line(diagnosis),
        findings=findings[:MAX_FINDINGS],
        num_more=max(0, len(findings) - MAX_FINDINGS),
        anchors=shown,
        rows=rows,
        by_sample=_by_sample(findings),
    )
    atomic_write_text(path, page)


def _by_sample(findings: Sequence[Finding]) -> dict[tuple[str, str], list[Finding]]:
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for item in findings:
        grouped.setdefault((item.split, item.key), []).append(item)
    return grouped


def _photograph(reading: Reading, modality: Modality) -> NDArray[np.uint8] | None:
    if reading.value is None:
        return None
    rendering = render_value(modality, reading.value)
    return None if isinstance(rendering, str) else rendering


def _tiles(modality: Modality, reading: Reading, photograph: NDArray[np.uint8] | None, image_title: str) -> list[Tile]:
    if reading.value is None:
        state = "unreadable" if reading.is_stored else "missing"
        return [Tile(title=modality.title, text=reading.problem or state, state=state)]
    rendering = render_value(modality, reading.value)
    if isinstance(rendering, str):
        return [Tile(title=modality.title, text=rendering)]
    is_map = modality.is_discrete or not isinstance(modality.layout, Dense)
    in_frame = photograph is not None and is_in_frame(modality, reading.value, rendering)
    tiles = [Tile(title=modality.title, picture=_data_uri(rendering, is_map=is_map), is_in_frame=in_frame)]
    lines = None if photograph is None else overlay(modality, reading.value, rendering, photograph)
    if lines is not None:
        title = f"{modality.title} on {image_title}"
        tiles.append(Tile(title=title, picture=_data_uri(lines, is_map=False), state="overlay"))
    return tiles


def _data_uri(picture: NDArray[np.uint8], *, is_map: bool) -> str:
    """A picture as a data URI: exact for maps and small pictures, JPEG for photographs."""
    if is_map or picture.size <= 3 * 64 * 64:
        return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
