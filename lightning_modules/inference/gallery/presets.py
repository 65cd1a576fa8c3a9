"""The generation sheets that every ablation makes of each arm: their words, their inputs and their settings.

What a sheet's request leaves open is as published (`networks.generation.defaults`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.inference.inputs import UserInput
from lightning_modules.inference.request import GenerationRequest
from lightning_modules.inference.settings import DecodingOptions, GenerationOptions
from modalities.layouts import Dense
from modalities.spec import SequenceModality
from modalities.storage.files import write_image
from modalities.values import ValueSequence
from networks.generation.config import DecodingScheme, GuidanceCondition
from networks.generation.defaults import sort_targets
from networks.tokenizers.codec import Codec


@dataclass(frozen=True, kw_only=True)
class GalleryData:
    """Held-out values and modalities that the sheets of one arm are made from."""

    codec: Codec
    values: Mapping[str, ValueSequence]
    """Held-out values, by modality."""
    num_samples: int
    folder: Path
    """Folder of the input files."""
    num: int
    """Variations."""

    @property
    def targets(self) -> list[str]:
        """The modalities that the arm's model can predict, in their order."""
        return list(self.codec.targets)

    @property
    def dense_targets(self) -> list[str]:
        """The targets that are maps of the image, the image itself left out, in the published order."""
        found = [name for name in self.targets if isinstance(self.codec.modalities[name].layout, Dense)]
        known = self.codec.modalities
        return sort_targets((name for name in found if not known[name].has_pixel_stream), known)

    def sample(self, first: int, needed: tuple[str, ...]) -> int | None:
        """The first sample from ``first`` on that has a value of everything ``needed``; None where there is none."""
        order = [(first + step) % self.num_samples for step in range(self.num_samples)]
        return next(
            (number for number in order if all(_is_present(self.values[name][number]) for name in needed)), None
        )

    def truth(self, sample: int) -> dict[str, Any]:
        """Everything that is known of a sample."""
        return {name: self.values[name][sample] for name in self.targets}


@dataclass(frozen=True, kw_only=True)
class PresetInputs:
    """One sheet's inputs: values of one sample, as files that a person can give to ``fourm generate``."""

    gallery_data: GalleryData
    sheet: str
    sample: int

    def full(self, name: str) -> UserInput:
        """A modality's value."""
        modality = self.gallery_data.codec.modalities[name]
        path = self.gallery_data.folder / f"{self.sheet}_{name}{modality.suffix}"
        modality.write_file(path, self.gallery_data.values[name][self.sample])
        return UserInput(value=str(path))

    def masked(self, name: str, hidden: NDArray[np.bool_]) -> UserInput:
        """A grid's value, and a mask that is white where ``hidden`` (grid, grid) is True."""
        layout = self.gallery_data.codec.modalities[name].layout
        assert isinstance(layout, Dense)
        path = self.gallery_data.folder / f"{self.sheet}_mask.png"
        write_image(path, hidden.repeat(layout.patch, 0).repeat(layout.patch, 1).astype(np.uint8) * 255)
        return UserInput(value=self.full(name).value, mask=path)

    def grid(self, name: str) -> int:
        """Side of a modality's token grid."""
        layout = self.gallery_data.codec.modalities[name].layout
        assert isinstance(layout, Dense)
        return layout.grid


@dataclass(frozen=True, kw_only=True)
class GalleryPreset:
    """One sheet."""

    name: str
    """Its file's."""
    title: str
    sentence: str
    """Description of the inputs and targets."""
    required_targets: tuple[str, ...]
    """Targets without which an arm has no such sheet."""
    first: int
    """The held-out sample it is made of, or the next that has all it needs."""
    requests: Callable[[PresetInputs], Mapping[str, GenerationRequest]]
    """Requests by the label of their column; empty where the model lacks a modality."""
    has_sample: bool = True
    """True where a held-out sample is given, whose truth can stand below what is generated."""


def _from_image(inputs: PresetInputs) -> dict[str, GenerationRequest]:
    words = [name for name in ("caption", "bounding_boxes") if name in inputs.gallery_data.targets]
    targets = [*inputs.gallery_data.dense_targets, *words]
    return {"": GenerationRequest(sources={"rgb": inputs.full("rgb")}, targets=targets)} if targets else {}


def _from_caption(inputs: PresetInputs) -> dict[str, GenerationRequest]:
    order = sort_targets([*inputs.gallery_data.dense_targets, "rgb"], inputs.gallery_data.codec.modalities)
    targets = order[: order.index("rgb") + 1]
    return {
        "": GenerationRequest(sources={"caption": inputs.full("caption")}, targets=targets, num=inputs.gallery_data.num)
    }


def _in_painting(inputs: PresetInputs) -> dict[str, GenerationRequest]:
    grid = inputs.grid("rgb")
    hidden = np.zeros((grid, grid), dtype=bool)
    hidden[grid // 4 : grid - grid // 4, grid // 4 : grid - grid // 4] = True
    sources = {"rgb": inputs.masked("rgb", hidden)}
    return {
        "": GenerationRequest(sources=sources, targets=["rgb", "semseg"], is_ordered=False, num=inputs.gallery_data.num)
    }


def _example(inputs: PresetInputs) -> dict[str, GenerationRequest]:
    boxes, grid = inputs.gallery_data.codec.modalities["bounding_boxes"], inputs.grid("rgb")
    assert isinstance(boxes, SequenceModality)
    rng = np.random.default_rng(inputs.sample)
    edge = re.search(r"v3=\d+", boxes.serialize(inputs.gallery_data.values["bounding_boxes"][inputs.sample], rng))
    if edge is None:
        return {}
    hidden = np.ones((grid, grid), dtype=bool)
    hidden.flat[rng.permutation(grid * grid)[:3]] = False
    sources = {"rgb": inputs.masked("rgb", hidden), "bounding_boxes": UserInput(value=f"[S_1] {edge[0]} [S_2]")}
    options = GenerationOptions(
        decoding=DecodingOptions(scheme=DecodingScheme.maskgit), by_target={"rgb": DecodingOptions(steps=3)}
    )
    targets = ["rgb", "caption", "bounding_boxes"]
    return {
        "": GenerationRequest(
            sources=sources, targets=targets, is_ordered=False, options=options, num=inputs.gallery_data.num
        )
    }


def _weighted(inputs: PresetInputs) -> dict[str, GenerationRequest]:
    sources = {name: inputs.full(name) for name in ("caption", "depth")}
    chosen = {
        "unguided": GenerationOptions(decoding=DecodingOptions(guidance=1.0)),
        "weighted": GenerationOptions(
            conditions=(
                GuidanceCondition(streams=("caption",), weight=3.0),
                GuidanceCondition(streams=("depth",), weight=-1.0),
            )
        ),
    }
    return {
        label: GenerationRequest(sources=sources, targets=["rgb"], options=options, num=inputs.gallery_data.num)
        for label, options in chosen.items()
    }


def _from_nothing(inputs: PresetInputs) -> dict[str, GenerationRequest]:
    return {"": GenerationRequest(targets=["depth", "semseg", "rgb"], num=inputs.gallery_data.num)}


GALLERY_PRESETS = (
    GalleryPreset(
        name="from_image",
        title="One image to everything else",
        sentence="Given a whole image; generated one after another in the published order, each an input of the next: "
        "every map that the model has, then caption and boxes, all with the published settings.",
        required_targets=("rgb",),
        first=0,
        requests=_from_image,
    ),
    GalleryPreset(
        name="from_caption",
        title="A caption to an image",
        sentence="Given a caption alone; generated several times, in the published order and with the published "
        "settings: the maps that come before the image, each an input of the next, then the image.",
        required_targets=("caption", "rgb"),
        first=1,
        requests=_from_caption,
    ),
    GalleryPreset(
        name="in_painting",
        title="The middle of an image anew",
        sentence="Given an image with its middle hidden; generated several times with the published settings: "
        "the hidden tokens, then the classes of the image that they complete.",
        required_targets=("rgb", "semseg"),
        first=2,
        requests=_in_painting,
    ),
    GalleryPreset(
        name="example",
        title="Three patches and one coordinate",
        sentence="Given three patches of an image and the lower edge of one of its boxes; generated several times: "
        "the image in three steps, most confident tokens first, its caption, then the boxes around the known edge.",
        required_targets=("rgb", "caption", "bounding_boxes"),
        first=3,
        requests=_example,
    ),
    GalleryPreset(
        name="weighted",
        title="Two weighted conditions",
        sentence="Given a caption and a depth map; the image generated several times, unguided, and pulled to the "
        "caption by a weight of 3 and pushed off the depth by one of -1, all else as published.",
        required_targets=("caption", "depth", "rgb"),
        first=4,
        requests=_weighted,
    ),
    GalleryPreset(
        name="from_nothing",
        title="Out of nothing",
        sentence="Given nothing; depth, then classes, then the image generated several times, each an input of the "
        "next, with the published settings.",
        required_targets=("depth", "semseg", "rgb"),
        first=0,
        requests=_from_nothing,
        has_sample=False,
    ),
)
"""Every sheet, in the order of the report."""


def _is_present(value: Any) -> bool:
    """False for what is missing, for an empty text and for a record of nothing."""
    return value is not None and not (isinstance(value, str | tuple | list) and not value)
