"""Default decoding settings: those of each modality, fitted to a model's streams.

Source: the released demonstrations of 4M-21 (arXiv:2406.09406).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from modalities.spec import Modality
from networks.generation.config import DecodingConfig, DecodingScheme, GenerationConfig
from networks.generation.schedules import Temperature, TokenSchedule
from networks.streams import SequenceStream, Stream

FROM_IMAGE_DECODING = DecodingConfig(steps=1, temperature=Temperature(start=0.01), guidance=2.0, top_p=0.8)
"""Grids that follow from a whole image."""
SUPER_RESOLUTION_DECODING = DecodingConfig(
    scheme=DecodingScheme.maskgit,
    steps=8,
    tokens=TokenSchedule.cosine,
    temperature=Temperature(start=1.0),
    guidance=3.0,
    top_p=0.9,
)
"""High resolution from low."""


def sort_targets(targets: Iterable[str], modalities: Mapping[str, Modality]) -> list[str]:
    """``targets`` in the order in which a chain is best generated; equals stay in the order given."""
    return sorted(targets, key=lambda name: modalities[name].decoding_defaults.order)


def default_decoding(
    stream: Stream, modality: Modality, *, from_image: bool, is_super_resolution: bool = False
) -> DecodingConfig:
    """The published settings of one target, with no more steps than it has tokens.

    Args:
        stream: The target's tokens.
        modality: The target.
        from_image: True where a whole image is among the inputs.
        is_super_resolution: True where the target is the same at a higher resolution than an input.
    """
    declared = modality.decoding_defaults
    own = DecodingConfig(
        steps=declared.steps,
        temperature=Temperature.parse(declared.temperature),
        guidance=declared.guidance,
        top_p=declared.top_p,
    )
    if isinstance(stream, SequenceStream):
        return own
    chosen = SUPER_RESOLUTION_DECODING if is_super_resolution else FROM_IMAGE_DECODING if from_image else own
    return replace(chosen, steps=min(chosen.steps, stream.num_tokens))


def default_generation_config(
    streams: Iterable[Stream], modalities: Mapping[str, Modality], *, from_image: bool, finer: Collection[str] = ()
) -> GenerationConfig:
    """The published settings of every target."""
    return GenerationConfig(
        decodings={
            stream.name: default_decoding(
                stream,
                modalities[stream.name],
                from_image=from_image,
                is_super_resolution=stream.name in finer,
            )
            for stream in streams
            if stream.is_target
        }
    )
