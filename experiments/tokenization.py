"""Tokens of a whole source by the tokenizers of a trained model, shard by shard, for those who prepare data once."""

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from lightning_modules.checkpoints.model import LoadedModel
from lightning_modules.data.raw import write_keys
from lightning_modules.data.store import write_tokens
from modalities.errors import DataError
from modalities.layouts import Dense, Vector
from modalities.sources.base import Source
from modalities.sources.webdataset.write import shard_path, write_tar
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
    """A folder a shard, with a memory map for each stream: the store that training reads."""
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
    if limit is None and count > 1 << 36:
        raise DataError(f"{plan.source.name} has no end: say how many samples of split {split!r}, --limit N.")
    starts = range(0, count, shard_size)
    left = [path for path in _records(plan, split).glob("*.json") if int(path.stem) >= len(starts)]
    if left:
        raise DataError(
            f"{plan.out / split} has {len(left)} shards beyond the {len(starts)} of this call, such as {left[0].stem}: "
            "choose another folder, or the --shard and --limit of before."
        )
    return [
        TokenShard(split=split, number=number, first=first, keys=tuple(keys[first : min(first + shard_size, count)]))
        for number, first in enumerate(starts)
    ]


def tokenize_token_shard(plan: TokenizationPlan, shard: TokenShard) -> int:
    """Write the tokens of a shard that are not there yet, and give the number of modalities that were made.

    Raises:
        DataError: A value cannot be read, two samples have one name, or the output cannot be written.
    """
    record_file = _records(plan, shard.split) / f"{shard.number:05d}.json"
    record = dict(read_json_object(record_file)) if record_file.exists() else {}
    signatures = {name: _signature(plan, shard, name) for name in plan.modalities}
    stale = [name for name in plan.modalities if record.get(name) != signatures[name] or _is_gone(plan, shard, name)]
    if not stale:
        return 0
    values: dict[str, list[Any]] = {name: [] for name in stale}
    # Sample by sample: a source shares the work on one sample among its modalities.
    for key in shard.keys:
        for name in stale:
            values[name].append(plan.source.read(key, plan.modalities[name]))
    for name in stale:
        match plan.format:
            case TokenFormat.store:
                _write_store(plan, shard, name, values[name])
            case TokenFormat.webdataset:
                _write_tars(plan, shard, name, values[name])
        record[name] = signatures[name]
    atomic_write_text(record_file, json.dumps(record, indent=1) + "\n")
    return len(stale)


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


def _records(plan: TokenizationPlan, split: str) -> Path:
    return plan.out / split / RECORDS_FOLDER


def _paths(plan: TokenizationPlan, shard: TokenShard, name: str) -> Iterator[Path]:
    for column in plan.columns(name):
        if plan.format is TokenFormat.store:
            yield _store_folder(plan, shard) / column
        else:
            yield shard_path(plan.out, shard.split, column, shard.number)


def _is_gone(plan: TokenizationPlan, shard: TokenShard, name: str) -> bool:
    return not all(path.exists() for path in _paths(plan, shard, name))


def _signature(plan: TokenizationPlan, shard: TokenShard, name: str) -> str:
    """Everything that decides the tokens of a shard."""
    facts = (shard.keys, shard.first, plan.source_fingerprints[name], plan.fingerprints[name])
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _store_folder(plan: TokenizationPlan, shard: TokenShard) -> Path:
    return plan.out / shard.split / f"{shard.number:05d}"


def _write_store(plan: TokenizationPlan, shard: TokenShard, name: str, values: Sequence[Any]) -> None:
    tokens = plan.codec.encode(name, values, first=shard.first)
    folder = _store_folder(plan, shard)
    if plan.modalities[name].has_pixel_stream:
        write_tokens(folder, pixel_stream_name(name), values, "raw")
    write_tokens(folder, name, tokens, plan.fingerprints[name], vocab_size=plan.codec.vocab_size(name))
    write_keys(folder, shard.keys)


def _write_tars(plan: TokenizationPlan, shard: TokenShard, name: str, values: Sequence[Any]) -> None:
    """Ids as arrays; what has no ids of its own place (sequences, embeddings), and pixels, as the modality's files."""
    modality = plan.modalities[name]
    keys = _member_keys(shard)
    for column in plan.columns(name):
        path = shard_path(plan.out, shard.split, column, shard.number)
        if column == name:
            members = _file_members(modality, keys, values)
        else:
            vocab_size, tokens = plan.codec.vocab_size(name), plan.codec.encode(name, values)
            members = iter([(f"{key}.npy", _npy(ids, vocab_size)) for key, ids in _present(keys, tokens)])
        write_tar(path, members)


def _member_keys(shard: TokenShard) -> list[str]:
    """Keys as names of members, which end at their first dot."""
    keys = [key.replace(".", "_") for key in shard.keys]
    if len(set(keys)) < len(keys):
        raise DataError(
            f"Two samples of split {shard.split!r}, shard {shard.number}, differ in dots alone: rename one."
        )
    return keys


def _present(keys: Sequence[str], values: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]


def _npy(ids: Any, vocab_size: int | None) -> bytes:
    """Ids of one crop as a .npy file (1, n), in the smallest signed type that holds the vocabulary."""
    small = vocab_size is not None and vocab_size <= 1 << 15
    content = io.BytesIO()
    np.save(content, np.asarray(ids)[None].astype(np.int16 if small else np.int32))
    return content.getvalue()


def _file_members(modality: Modality, keys: Sequence[str], values: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"value{modality.suffix}")
        for key, value in _present(keys, values):
            modality.write_file(path, value)
            yield f"{key}{modality.suffix}", path.read_bytes()


ProgressCallback = Callable[[int, int], None]
"""Receives the number of shards that are done, and of all."""


def tokenize_shards(
    plan: TokenizationPlan, shards: Sequence[TokenShard], progress: ProgressCallback
) -> tuple[int, int]:
    """Tokenize shards one after the other; gives the number of those that were made and that were there."""
    made = 0
    for done, shard in enumerate(shards):
        made += tokenize_token_shard(plan, shard) > 0
        progress(done + 1, len(shards))
    return made, len(shards) - made
