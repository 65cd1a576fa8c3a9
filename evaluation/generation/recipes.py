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

from evaluation.generation.inputs import Source
from evaluation.generation.request import Request
from evaluation.generation.settings import Settings
from evaluation.held_out import Codecs, Values
from modalities.files import write_image
from modalities.layouts import Dense
from modalities.spec import SequenceModality
from networks.generation.defaults import in_order


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the sheets of one arm are made from."""

    codecs: Codecs
    values: Mapping[str, Values]
    """Held-out values, by modality."""
    num_samples: int
    folder: Path
    """Where the files of inputs are written."""
    num: int
    """Variations."""

    @property
    def targets(self) -> list[str]:
        """The modalities that the arm's model can predict, in their order."""
        return [stream.name for stream in self.codecs.streams if stream.is_target]

    @property
    def maps(self) -> list[str]:
        """The targets that are maps of what is seen, the image itself left out, in the published order."""
        found = [name for name in self.targets if isinstance(self.codecs.modalities[name].layout, Dense)]
        return in_order(name for name in found if not self.codecs.modalities[name].pixels)

    def sample(self, first: int, needed: tuple[str, ...]) -> int | None:
        """The first sample from ``first`` on that has a value of everything ``needed``; None where there is none."""
        order = [(first + step) % self.num_samples for step in range(self.num_samples)]
        return next((number for number in order if all(_is_there(self.values[name][number]) for name in needed)), None)

    def truth(self, sample: int) -> dict[str, Any]:
        """Everything that is known of a sample."""
        return {name: self.values[name][sample] for name in self.targets}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One sheet's inputs: values of one sample, as files that a person can give to ``fourm generate``."""

    material: Material
    sheet: str
    sample: int

    def whole(self, name: str) -> Source:
        """A modality's value."""
        modality = self.material.codecs.modalities[name]
        path = self.material.folder / f"{self.sheet}_{name}{modality.suffix}"
        modality.write(path, self.material.values[name][self.sample])
        return Source(value=str(path))

    def part(self, name: str, hidden: NDArray[np.bool_]) -> Source:
        """A grid's value, and a mask that is white where ``hidden`` (grid, grid) is True."""
        layout = self.material.codecs.modalities[name].layout
        assert isinstance(layout, Dense)
        path = self.material.folder / f"{self.sheet}_mask.png"
        write_image(path, hidden.repeat(layout.patch, 0).repeat(layout.patch, 1).astype(np.uint8) * 255)
        return Source(value=self.whole(name).value, mask=path)

    def grid(self, name: str) -> int:
        """Side of a modality's token grid."""
        layout = self.material.codecs.modalities[name].layout
        assert isinstance(layout, Dense)
        return layout.grid


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One sheet."""

    name: str
    """Its file's."""
    title: str
    sentence: str
    """What is given, and what is made of it."""
    needs: tuple[str, ...]
    """Targets without which an arm has no such sheet."""
    first: int
    """The held-out sample it is made of, or the next that has all it needs."""
    requests: Callable[[Inputs], Mapping[str, Request]]
    """By what tells their columns apart; none where nothing can be asked."""
    is_given: bool = True
    """True where a held-out sample is given, whose truth can stand below what is generated."""


def _from_image(inputs: Inputs) -> dict[str, Request]:
    words = [name for name in ("caption", "bounding_boxes") if name in inputs.material.targets]
    targets = [*inputs.material.maps, *words]
    return {"": Request(sources={"rgb": inputs.whole("rgb")}, targets=targets)} if targets else {}


def _from_caption(inputs: Inputs) -> dict[str, Request]:
    order = in_order([*inputs.material.maps, "rgb"])
    targets = order[: order.index("rgb") + 1]
    return {"": Request(sources={"caption": inputs.whole("caption")}, targets=targets, num=inputs.material.num)}


def _in_painting(inputs: Inputs) -> dict[str, Request]:
    grid = inputs.grid("rgb")
    hidden = np.zeros((grid, grid), dtype=bool)
    hidden[grid // 4 : grid - grid // 4, grid // 4 : grid - grid // 4] = True
    sources = {"rgb": inputs.part("rgb", hidden)}
    return {"": Request(sources=sources, targets=["rgb", "semseg"], is_ordered=False, num=inputs.material.num)}


def _example(inputs: Inputs) -> dict[str, Request]:
    boxes, grid = inputs.material.codecs.modalities["bounding_boxes"], inputs.grid("rgb")
    assert isinstance(boxes, SequenceModality)
    rng = np.random.default_rng(inputs.sample)
    edge = re.search(r"v3=\d+", boxes.serialise(inputs.material.values["bounding_boxes"][inputs.sample], rng))
    if edge is None:
        return {}
    hidden = np.ones((grid, grid), dtype=bool)
    hidden.flat[rng.permutation(grid * grid)[:3]] = False
    sources = {"rgb": inputs.part("rgb", hidden), "bounding_boxes": Source(value=f"[S_1] {edge[0]} [S_2]")}
    settings = Settings(options={"scheme": "maskgit", "steps": "rgb=3"})
    targets = ["rgb", "caption", "bounding_boxes"]
    return {"": Request(sources=sources, targets=targets, is_ordered=False, settings=settings, num=inputs.material.num)}


def _weighted(inputs: Inputs) -> dict[str, Request]:
    sources = {name: inputs.whole(name) for name in ("caption", "depth")}
    chosen = {"unguided": Settings(options={"guidance": "1"}), "weighted": Settings(conditions="caption=3,depth=-1")}
    return {
        label: Request(sources=sources, targets=["rgb"], settings=settings, num=inputs.material.num)
        for label, settings in chosen.items()
    }


def _from_nothing(inputs: Inputs) -> dict[str, Request]:
    return {"": Request(targets=["depth", "semseg", "rgb"], num=inputs.material.num)}


RECIPES = (
    Recipe(
        name="from_image",
        title="One image to everything else",
        sentence="Given a whole image; generated one after another in the published order, each an input of the next: "
        "every map that the model has, then caption and boxes, all with the published settings.",
        needs=("rgb",),
        first=0,
        requests=_from_image,
    ),
    Recipe(
        name="from_caption",
        title="A caption to an image",
        sentence="Given a caption alone; generated several times, in the published order and with the published "
        "settings: the maps that come before the image, each an input of the next, then the image.",
        needs=("caption", "rgb"),
        first=1,
        requests=_from_caption,
    ),
    Recipe(
        name="in_painting",
        title="The middle of an image anew",
        sentence="Given an image with its middle hidden; generated several times with the published settings: "
        "the hidden tokens, then the classes of the image that they complete.",
        needs=("rgb", "semseg"),
        first=2,
        requests=_in_painting,
    ),
    Recipe(
        name="example",
        title="Three patches and one coordinate",
        sentence="Given three patches of an image and the lower edge of one of its boxes; generated several times: "
        "the image in three steps, surest tokens first, then its caption, then the boxes around the known edge.",
        needs=("rgb", "caption", "bounding_boxes"),
        first=3,
        requests=_example,
    ),
    Recipe(
        name="weighted",
        title="Two weighted conditions",
        sentence="Given a caption and a depth map; the image generated several times, unguided, and pulled to the "
        "caption by a weight of 3 and pushed off the depth by one of -1, all else as published.",
        needs=("caption", "depth", "rgb"),
        first=4,
        requests=_weighted,
    ),
    Recipe(
        name="from_nothing",
        title="Out of nothing",
        sentence="Given nothing; depth, then classes, then the image generated several times, each an input of the "
        "next, with the published settings.",
        needs=("depth", "semseg", "rgb"),
        first=0,
        requests=_from_nothing,
        is_given=False,
    ),
)
"""Every sheet, in the order of the report."""


def _is_there(value: Any) -> bool:
    """False for what is missing, for an empty text and for a record of nothing."""
    return value is not None and not (isinstance(value, str | tuple | list) and not value)
