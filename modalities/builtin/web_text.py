"""Web text: a page's words around the image (C4 in the papers, where it stands alone)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Text
from modalities.tokenizer_specs import WordPiece

if TYPE_CHECKING:
    from modalities.scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class WebText(FreeTextModality):
    """A passage of text."""

    def from_scene(self, scene: "Scene") -> str:
        """The scene's passage."""
        return scene.web_text


MODALITY = WebText(
    name="web_text",
    title="Web text",
    layout=Text(max_tokens=256),
    tokenizer=WordPiece(),
    labeller="C4",
)
