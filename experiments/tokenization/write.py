"""Tokenizes one shard after the other; what is there already is left as it is."""

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.tokenization.plan import TokenFormat, TokenizationPlan, TokenShard, records_folder
from lightning_modules.data.raw import write_keys
from lightning_modules.data.store import write_tokens
from modalities.sources.webdataset.write import member_keys, shard_path, write_tar
from modalities.spec import Modality
from modalities.storage.atomic import atomic_write_text, read_json_object
from networks.streams import pixel_stream_name


def tokenize_token_shard(plan: TokenizationPlan, shard: TokenShard) -> int:
    """Write the tokens of a shard that are not there yet, and give the number of modalities that were made.

    Raises:
        DataError: A value cannot be read, two samples have one name, or the output cannot be written.
    """
    record_file = records_folder(plan, shard.split) / f"{shard.number:05d}.json"
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
    keys = member_keys(shard.keys, f"split {shard.split!r}, shard {shard.number}")
    for column in plan.columns(name):
        path = shard_path(plan.out, shard.split, column, shard.number)
        if column == name:
            members = _file_members(modality, keys, values)
        else:
            vocab_size, tokens = plan.codec.vocab_size(name), plan.codec.encode(name, values)
            members = iter([(f"{key}.npy", _npy(ids, vocab_size)) for key, ids in _present(keys, tokens)])
        write_tar(path, members)


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
