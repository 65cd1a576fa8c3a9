"""Captions: what a person would say of the image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Caption(FreeTextModality):
    """A sentence about the image."""

    def from_scene(self, scene: "Scene") -> str:
        """The scene's caption."""
        return scene.caption


MODALITY = Caption(
    name="caption",
    title="Caption",
    layout=Text(max_tokens=256),
    tokenizer=WordPiece(),
    labeller="alt text of CC12M and COYO-700M",
)
