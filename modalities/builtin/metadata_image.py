"""Image metadata: size and colour statistics of the pixels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modalities.kinds.metadata import IMAGE_FIELDS, Metadata
from modalities.labellers import metadata as labeller
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class ImageMetadata(Metadata):
    """Facts about pixels."""

    def from_scene(self, scene: "Scene") -> dict[str, float]:
        """The facts by the definitions of 4M-21, from the scene's picture."""
        height, width = scene.rgb.shape[:2]
        facts = {"original_width": width, "original_height": height, **labeller.image_statistics(scene.rgb)}
        return {field.name: facts[field.name] for field in self.fields}


MODALITY = ImageMetadata(
    name="metadata_image",
    title="Image metadata",
    layout=Text(max_tokens=2 * len(IMAGE_FIELDS) + 1, chunk=2),
    tokenizer=WordPiece(),
    fields=IMAGE_FIELDS,
    labeller="computed from the pixels",
)
