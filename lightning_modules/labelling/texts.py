"""Texts in and out of networks: T5's embeddings of captions, and captions of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from lightning_modules.labelling.expert import Expert
from lightning_modules.labelling.weights import LoadedModel
from modalities.builtin.t5_caption import T5Caption
from modalities.errors import ConfigError
from modalities.kinds.sequences import FreeTextModality
from modalities.layouts import Embeddings
from modalities.presets import CAPTION
from modalities.spec import Modality


@dataclass(frozen=True, kw_only=True)
class TextEmbeddingExpert(Expert):
    """One vector for each token of a text, the end token's included."""

    kinds: ClassVar[tuple[type[Modality], ...]] = (T5Caption,)
    reads: ClassVar[tuple[str, ...]] = (CAPTION,)
    model_types: ClassVar[tuple[str, ...]] = ("t5",)
    model_class: ClassVar[str] = "T5EncoderModel"
    processor_class: ClassVar[str] = "AutoTokenizer"

    max_tokens: int
    """Most vectors; a longer text is cut, its end token kept."""

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "TextEmbeddingExpert":
        """The labeller with the modality's length.

        Raises:
            ConfigError: The model's vectors are of another width than the modality's.
        """
        layout = modality.layout
        assert isinstance(layout, Embeddings)
        labeller = cls(max_tokens=layout.max_tokens, **fields)
        width = int(labeller.model_config.get("d_model", 512))
        if width != layout.channels:
            raise ConfigError(
                f"{labeller.model} gives vectors of {width} numbers, {modality.name} takes {layout.channels}: choose a "
                "model of that width, or define a modality of your own (docs/adding_a_modality.md)."
            )
        return labeller

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> Float32[np.ndarray, "n c"]:
        """The encoder's last states."""
        (text,) = inputs
        tokens = loaded.processor(text, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        states = loaded.model(**tokens.to(loaded.device)).last_hidden_state
        return np.asarray(states[0].float().cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class CaptionExpert(Expert):
    """A caption of a picture, generated greedily."""

    kinds: ClassVar[tuple[type[Modality], ...]] = (FreeTextModality,)
    model_types: ClassVar[tuple[str, ...]] = ("blip",)
    model_class: ClassVar[str] = "BlipForConditionalGeneration"
    processor_class: ClassVar[str] = "AutoProcessor"

    max_new_tokens: int = 40
    """Longest caption, in the model's tokens."""

    @classmethod
    def for_modality(cls, modality: Modality, **fields: Any) -> "CaptionExpert":
        """The labeller."""
        return cls(**fields)

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> str | None:
        """The text, or None where the network says nothing."""
        (picture,) = inputs
        pixels = loaded.processor(images=picture, return_tensors="pt").to(loaded.device)
        tokens = loaded.model.generate(**pixels, max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1)
        return str(loaded.processor.decode(tokens[0], skip_special_tokens=True)).strip() or None


@dataclass(frozen=True, kw_only=True)
class FlorenceCaptionExpert(CaptionExpert):
    """A caption by Florence-2, whose prompt is the name of the task."""

    model_types: ClassVar[tuple[str, ...]] = ("florence2",)
    model_class: ClassVar[str] = "Florence2ForConditionalGeneration"

    task: str = "<CAPTION>"
    """The task: <CAPTION>, <DETAILED_CAPTION> or <MORE_DETAILED_CAPTION>."""

    def infer(self, loaded: LoadedModel, inputs: Sequence[Any]) -> str | None:
        """The text, or None where the network says nothing."""
        (picture,) = inputs
        pixels = loaded.processor(images=picture, text=self.task, return_tensors="pt").to(loaded.device)
        tokens = loaded.model.generate(**pixels, max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1)
        return str(loaded.processor.batch_decode(tokens, skip_special_tokens=True)[0]).strip() or None
