"""The table of published modality names and ours."""

from dataclasses import dataclass
from typing import assert_never

from modalities.errors import CheckpointError
from modalities.layouts import KeepScheme
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, pixel_stream_name


@dataclass(frozen=True, kw_only=True)
class PublishedModality:
    """One published modality at any resolution."""

    name: str
    """Published name without ``@`` and resolution."""
    modality: str
    """Our name."""
    kind: type[Stream]
    max_tokens: int = 0
    """Longest sequence."""
    patch: int = 16
    """Side of a patch in pixels, for grids and pixels."""
    chunk: int = 1
    keep: KeepScheme = KeepScheme.random

    @property
    def stream(self) -> str:
        """The name of our stream."""
        return pixel_stream_name(self.modality) if self.kind is PixelStream else self.modality

    def name_at(self, resolution: int) -> str:
        """Published name at a resolution in pixels, which vectors and sequences do not have."""
        is_sized = self.kind is PixelStream or (self.kind is GridStream and "_global" not in self.name)
        return f"{self.name}@{resolution}" if is_sized else self.name


def _grid(name: str, modality: str, patch: int = 16) -> PublishedModality:
    return PublishedModality(name=name, modality=modality, kind=GridStream, patch=patch)


def _text(
    name: str, modality: str, max_tokens: int, chunk: int = 1, keep: KeepScheme = KeepScheme.random
) -> PublishedModality:
    return PublishedModality(
        name=name, modality=modality, kind=SequenceStream, max_tokens=max_tokens, chunk=chunk, keep=keep
    )


PUBLISHED_MODALITIES = {
    item.name: item
    for item in (
        PublishedModality(name="rgb", modality="rgb", kind=PixelStream),
        _grid("tok_rgb", "rgb"),
        _grid("tok_depth", "depth"),
        _grid("tok_normal", "normals"),
        _grid("tok_semseg", "semseg"),
        _grid("tok_canny_edge", "canny_edges"),
        _grid("tok_sam_edge", "sam_edges"),
        _grid("tok_clip", "clip"),
        _grid("tok_dinov2", "dinov2", patch=14),
        _grid("tok_imagebind", "imagebind", patch=14),
        _grid("tok_dinov2_global", "dinov2_global"),
        _grid("tok_imagebind_global", "imagebind_global"),
        _text("caption", "caption", 256),
        _text("det", "bounding_boxes", 256),
        _text("metadata", "metadata", 40, chunk=2),
        _text("human_poses", "human_poses", 275),
        _text("color_palette", "color_palette", 23, keep=KeepScheme.binary),
        _text("sam_instance", "sam_instances", 290),
        PublishedModality(name="t5_caption", modality="t5_caption", kind=EmbeddingStream, max_tokens=77),
    )
}
"""All modalities of the published 4M-7 and 4M-21 models."""


def parse_published_name(name: str) -> tuple[PublishedModality, int]:
    """The modality of a published name, and its resolution in pixels; 0 if it has none.

    Raises:
        CheckpointError: No published modality is called that.
    """
    base, _, resolution = name.partition("@")
    if base not in PUBLISHED_MODALITIES or not (resolution.isdigit() or not resolution):
        raise CheckpointError(
            f"The checkpoint has a modality {name!r}, which is none of {', '.join(PUBLISHED_MODALITIES)}."
        )
    return PUBLISHED_MODALITIES[base], int(resolution or 0)


def stream_names_of(names: list[str]) -> dict[str, str]:
    """Our stream of each published name. The lowest of several resolutions has the plain name: ``rgb``, ``rgb_448``.

    Raises:
        CheckpointError: No published modality is called that.
    """
    parts = {name: parse_published_name(name) for name in names}
    lowest: dict[str, int] = {}
    for item, resolution in parts.values():
        lowest[item.name] = min(resolution, lowest.get(item.name, resolution))
    return {
        name: item.stream if resolution == lowest[item.name] else _sized(item, resolution)
        for name, (item, resolution) in parts.items()
    }


def published_stream_name(stream: Stream) -> str:
    """Published name of one of our streams; its own name if no published model has it."""
    if stream.published_name:
        return stream.published_name
    for item in PUBLISHED_MODALITIES.values():
        if item.stream == stream.name and item.kind is type(stream):
            return item.name_at(_resolution(stream, item))
    return stream.name


def _resolution(stream: Stream, item: PublishedModality) -> int:
    """Side in pixels of the image that a stream covers; 0 for streams without a grid."""
    match stream:
        case PixelStream():
            return stream.grid * stream.patch
        case GridStream():
            return (stream.grid or 0) * item.patch
        case SequenceStream() | EmbeddingStream():
            return 0
        case _:
            assert_never(stream)


def _sized(item: PublishedModality, resolution: int) -> str:
    name = f"{item.modality}_{resolution}"
    return pixel_stream_name(name) if item.kind is PixelStream else name
