"""What is tokenized by which tokenizers, into which shards, and the description that is left beside them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lightning_modules.checkpoints.model import LoadedModel
from modalities.errors import DataError
from modalities.layouts import Dense, Vector
from modalities.sources.base import ENDLESS, Source
from modalities.spec import Modality, SequenceModality, learned_tokenizer
from modalities.storage.atomic import atomic_write_text, read_json_object
from networks.streams import pixel_stream_name
from networks.tokenizers.codec import Codec

RECORDS_FOLDER = ".records"
"""Folder of a split with a record of each shard that is done."""
DESCRIPTION_FILE = "tokens.json"
"""File that says where the tokens come from."""


class TokenFormat(Enum):
    """Form of the tokens on disk."""

    store = "store"
    """A folder a shard, with a file for each stream: the store that training reads."""
    webdataset = "webdataset"
    """A tar a modality and shard, as published for 4M: ids of one crop (1, n) as .npy; sequences as their values."""


@dataclass(frozen=True, kw_only=True)
class TokenizationPlan:
    """A source, the tokenizers, and where the tokens go."""

    source: Source
    codec: Codec
    modalities: Mapping[str, Modality]
    """Those that are tokenized."""
    fingerprints: Mapping[str, str]
    """Of the tokenizers, by modality."""
    source_fingerprints: Mapping[str, str]
    """Of the source's values, by modality."""
    out: Path
    format: TokenFormat
    notes: tuple[str, ...] = ()
    """A line on each modality that is left out."""

    def columns(self, name: str) -> tuple[str, ...]:
        """Folders that a modality's tokens lie in: of its ids, and where it enters as pixels of these."""
        modality = self.modalities[name]
        match self.format, modality.layout:
            case TokenFormat.store, _:
                return (name, pixel_stream_name(name)) if modality.has_pixel_stream else (name,)
            case TokenFormat.webdataset, Dense(size=size):
                return (f"tok_{name}@{size}", name) if modality.has_pixel_stream else (f"tok_{name}@{size}",)
            case TokenFormat.webdataset, Vector():
                return (f"tok_{name}",)
            case _:
                return (name,)


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """Samples that are tokenized together."""

    split: str
    number: int
    first: int
    """Number of the first sample in its split."""
    keys: tuple[str, ...]


def plan_tokenization(
    loaded: LoadedModel, modalities: Mapping[str, Modality], source: Source, out: Path, token_format: TokenFormat
) -> TokenizationPlan:
    """What can be tokenized: modalities that the model has the tokenizers of and the source has values of.

    Args:
        modalities: All of the model's, at its sizes.

    Raises:
        DataError: Nothing can be tokenized.
    """
    chosen: dict[str, Modality] = {}
    notes = []
    for name, modality in modalities.items():
        option = loaded.missing_option(modality)
        problem = f"the model was imported without its tokenizer ({option})." if option else None
        problem = problem or source.explain_missing(modality)
        if problem is None:
            chosen[name] = modality
        else:
            notes.append(f"{name} is left out: {problem}")
    if not chosen:
        raise DataError(f"Nothing of {source.name} can be tokenized. {' '.join(notes)}")
    codec = Codec(
        modalities=chosen,
        tokenizers={name: item.tokenizer for name, item in loaded.tokenizers.items()},
        text_tokenizer=loaded.text_tokenizer,
    )
    return TokenizationPlan(
        source=source,
        codec=codec,
        modalities=chosen,
        fingerprints={name: _tokenizer_fingerprint(loaded, item) for name, item in chosen.items()},
        source_fingerprints={name: source.fingerprint(item) for name, item in chosen.items()},
        out=out,
        format=token_format,
        notes=tuple(notes),
    )


def _tokenizer_fingerprint(loaded: LoadedModel, modality: Modality) -> str:
    """The fingerprint of a modality's learned tokenizer, of the text tokenizer, or of both."""
    learned = learned_tokenizer(modality)
    parts = [loaded.tokenizers[learned.tokenizer.name].fingerprint] if learned else []
    if isinstance(modality, SequenceModality) and loaded.text_tokenizer is not None:
        parts.append(hashlib.sha256(loaded.text_tokenizer.to_json().encode()).hexdigest()[:16])
    return "+".join(parts) or "raw"


def plan_token_shards(plan: TokenizationPlan, split: str, *, shard_size: int, limit: int | None) -> list[TokenShard]:
    """The shards of a split.

    Raises:
        DataError: The split has no end and there is no limit, or the output has shards beyond these.
    """
    keys = plan.source.keys(split)
    count = len(keys) if limit is None else min(limit, len(keys))
    if limit is None and count >= ENDLESS:
        raise DataError(f"{plan.source.name} has no end: say how many samples of split {split!r}, --limit N.")
    starts = range(0, count, shard_size)
    left = [path for path in records_folder(plan, split).glob("*.json") if int(path.stem) >= len(starts)]
    if left:
        raise DataError(
            f"{plan.out / split} has {len(left)} shards beyond the {len(starts)} of this call, such as {left[0].stem}: "
            "choose another folder, or the --shard and --limit of before."
        )
    return [
        TokenShard(split=split, number=number, first=first, keys=tuple(keys[first : min(first + shard_size, count)]))
        for number, first in enumerate(starts)
    ]


def write_description(plan: TokenizationPlan, model: Path, shard_size: int) -> None:
    """Write where the tokens come from, and under which licence.

    Raises:
        DataError: The file cannot be written, or the folder holds tokens of another form.
    """
    file = plan.out / DESCRIPTION_FILE
    if file.exists() and (found := read_json_object(file).get("format")) != plan.format.value:
        raise DataError(
            f"{plan.out} holds tokens in the form {found}, expected {plan.format.value}: choose another folder."
        )
    content = {
        "format": plan.format.value,
        "source": plan.source.name,
        "license": plan.source.license,
        "model": str(model),
        "shard": shard_size,
        "modalities": {
            name: {
                "columns": list(plan.columns(name)),
                "fingerprint": plan.fingerprints[name],
                "vocab_size": plan.codec.vocab_size(name),
                "num_tokens": item.num_tokens,
            }
            for name, item in plan.modalities.items()
        },
    }
    atomic_write_text(file, json.dumps(content, indent=1) + "\n")


def records_folder(plan: TokenizationPlan, split: str) -> Path:
    """Folder of a split's records."""
    return plan.out / split / RECORDS_FOLDER
