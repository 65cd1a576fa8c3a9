"""Held-out samples for measuring one model: the modalities that can be measured, and splits read from the source."""

from collections.abc import Callable, Mapping
from pathlib import Path

from evaluation.samples import EvalSplit
from lightning_modules.checkpoints.model import LoadedModel
from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.data.store import TokenStore, write_tokens
from lightning_modules.data.tokenize import tokenize_shard
from modalities.errors import DataError
from modalities.layouts import Dense
from modalities.registry import Registry
from modalities.sources.base import Source
from modalities.spec import Modality
from networks.streams import PixelStream, Stream, pixel_stream_name
from networks.tokenizers.codec import Codec

StatusCallback = Callable[[str], None]
"""Receives a line on the work in progress."""


def measurable_modalities(loaded: LoadedModel, registry: Registry) -> tuple[dict[str, Modality], list[str]]:
    """The modalities that can be turned into tokens and measured, and a line on each that cannot.

    Raises:
        DataError: No target can be measured.
    """
    measurable: dict[str, Modality] = {}
    lines: list[str] = []
    for name, modality in loaded.build_modalities(registry).items():
        missing_option = loaded.missing_option(modality)
        variant = loaded.variants.get(name)
        base = registry[variant.base].layout if variant else modality.layout
        if name not in loaded.model.index:
            continue
        if missing_option is not None:
            lines.append(f"{name} is left out: the model was imported without its tokenizer ({missing_option}).")
        elif _has_other_classes(modality, base):
            lines.append(f"{name} is left out: its classes are not those of the data source.")
        else:
            measurable[name] = modality
    if not any(loaded.streams[loaded.model.index[name]].is_target for name in measurable):
        raise DataError(f"Nothing of this model can be measured. {' '.join(lines)}")
    return measurable, lines


def readable_modalities(
    loaded: LoadedModel, registry: Registry, measurable: Mapping[str, Modality]
) -> dict[str, Modality]:
    """The measurable modalities, and those that enter the model as pixels."""
    return {
        name: item
        for name, item in loaded.build_modalities(registry).items()
        if name in measurable or pixel_stream_name(name) in loaded.model.index
    }


def evaluation_streams(loaded: LoadedModel, measurable: Mapping[str, Modality]) -> tuple[Stream, ...]:
    """The model's streams of measurable modalities, then its pixels."""
    tokens = (stream for stream in loaded.streams if stream.modality in measurable)
    pixels = (stream for stream in loaded.streams if isinstance(stream, PixelStream))
    return tuple(dict.fromkeys((*tokens, *pixels)))


def build_splits(
    folder: Path,
    sizes: Mapping[str, int],
    loaded: LoadedModel,
    codec: Codec,
    source: Source,
    modalities: Mapping[str, Modality],
    progress: StatusCallback,
) -> dict[str, EvalSplit]:
    """The first samples of each split, read from the source and turned into tokens below ``folder``."""
    streams = evaluation_streams(loaded, codec.modalities)
    splits: dict[str, EvalSplit] = {}
    for split, count in sizes.items():
        progress(f"{count} {split} samples")
        shard = folder / split
        write_shard(shard / "raw", modalities, source, split, range(count))
        raw = RawStore.open([shard / "raw"], modalities)
        tokenizable = RawStore.open([shard / "raw"], codec.modalities)
        tokenize_shard(shard / "tokens", tokenizable, codec, loaded.fingerprints)
        for name in modalities:
            if name not in codec.modalities:
                write_tokens(shard / "tokens", pixel_stream_name(name), raw[name][:], "raw")
        tokens = TokenStore([shard / "tokens"], streams)
        splits[split] = EvalSplit(values=raw, tokens=tokens, streams=streams, num_samples=count)
    return splits


def _has_other_classes(modality: Modality, base: object) -> bool:
    """True for class maps of another list of classes."""
    layout = modality.layout
    if not isinstance(layout, Dense) or not isinstance(base, Dense):
        return False
    return layout.categorical and layout.channels != base.channels
