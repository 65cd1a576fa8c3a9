"""Held-out samples for measuring one model, read from a source and turned into tokens."""

from collections.abc import Callable, Mapping
from pathlib import Path

from evaluation.samples import EvalSplit
from lightning_modules.checkpoints.model import LoadedModel
from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.data.store import TokenStore, write_tokens
from lightning_modules.data.tokenize import tokenize_shard
from modalities.sources.base import Source
from modalities.spec import Modality
from networks.streams import PixelStream, Stream, pixel_stream_name
from networks.tokenizers.codec import Codec

StatusCallback = Callable[[str], None]
"""Receives a line on the work in progress."""


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
