"""Raw values to tokens, one shard at a time: the store's writer of what the `Codec` encodes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_modules.data.raw import RawStore
from lightning_modules.data.store import write_tokens
from networks.streams import pixel_stream_name
from networks.tokenizers.codec import Codec


def tokenize_shard(
    folder: Path,
    raw: RawStore,
    codec: Codec,
    fingerprints: Mapping[str, str],
    *,
    column_names: Mapping[str, str] | None = None,
    first: int = 0,
    seed: int = 0,
    progress: Any = None,
) -> None:
    """Write the tokens of every modality of ``raw`` into ``folder``, one stream after the other.

    Args:
        codec: Of all modalities of ``raw``.
        fingerprints: Of the tokenizers, by stream.
        column_names: Name of each stream's folder, where it is not the stream's own.
        first: Number of the first sample in its split.
    """
    names = column_names or {}
    for done, (name, modality) in enumerate(raw.modalities.items()):
        values = raw[name][:]
        if modality.has_pixel_stream:
            pixels = pixel_stream_name(name)
            write_tokens(folder, names.get(pixels, pixels), values, "raw")
        tokens = codec.encode(name, values, seed=seed, first=first)
        write_tokens(folder, names.get(name, name), tokens, fingerprints[name], vocab_size=codec.vocab_size(name))
        if progress is not None:
            progress((done + 1) / len(raw.modalities))
