"""Import of published checkpoints: of a model, with the tokenizers that are given, or of a tokenizer."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning_modules.checkpoints.model import (
    TEXT_TOKENIZER_FILE,
    TOKENIZERS_FOLDER,
    UNKNOWN_FINGERPRINT,
    save_model,
)
from lightning_modules.checkpoints.published import (
    CheckpointSource,
    PublishedModel,
    open_checkpoint,
    read_published_model,
    read_published_tokenizer,
)
from lightning_modules.checkpoints.tokenizer import TokenizerCard, describe_normalizations, save_tokenizer
from lightning_modules.checkpoints.variants import (
    build_variants,
    check_tokenizer_fits,
    read_variants,
    resolve_tokenizer_name,
    tokenizer_members,
    with_tokenizer,
)
from modalities.errors import CheckpointError, DataError
from modalities.layouts import ScaleConfig
from modalities.registry import Registry, default_registry
from modalities.spec import UNSPECIFIED_NORMALIZATION, learned_tokenizer
from modalities.storage.atomic import atomic_folder
from modalities.variants import ModalityVariant
from networks.pretrained.adapters import FourMAdapter
from networks.pretrained.fourm_weights import image_size
from networks.streams import GridStream, PixelStream, SequenceStream, Stream
from networks.tokenizers.text import TextTokenizer

LICENSE_NOTICE = "The published 4M weights are for non-commercial use only; see the license that came with them."


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Files given along with the checkpoint."""

    text_tokenizer: Path | None = None
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    """Published tokenizers, by the name of a modality or of a tokenizer."""


def import_checkpoint(location: str, out: Path, options: ImportOptions, registry: Registry | None = None) -> list[str]:
    """Import a checkpoint into the folder ``out``.

    Args:
        location: A file, a folder, or a repository of the hub.

    Returns:
        Lines to print.

    Raises:
        CheckpointError: A key is unknown, a tensor is missing, or a shape does not fit; the message names it.
        DataError: The text tokenizer cannot be read, or the folder cannot be written.
    """
    source = open_checkpoint(location)
    if FourMAdapter.accepts(source.config):
        return _import_model(source, out, _with_exported_files(options, Path(location)), registry or default_registry())
    checkpoint = read_published_tokenizer(source, out.name)
    card = _tokenizer_card(source, UNSPECIFIED_NORMALIZATION)
    with atomic_folder(out) as partial:
        save_tokenizer(partial, checkpoint.tokenizer, checkpoint.task, checkpoint.config, card)
    return [
        f"Tokenizer of {checkpoint.task.layout.num_tokens} tokens "
        f"out of {checkpoint.task.tokenizer.vocab_size} in {out}.",
        *([] if source.export_metadata else [LICENSE_NOTICE]),
    ]


def _with_exported_files(options: ImportOptions, folder: Path) -> ImportOptions:
    """The given files, and those that an exported folder has beside the weights."""
    text = folder / TEXT_TOKENIZER_FILE if (folder / TEXT_TOKENIZER_FILE).is_file() else None
    exported = {path.name: str(path) for path in sorted((folder / TOKENIZERS_FOLDER).glob("*")) if path.is_dir()}
    return ImportOptions(text_tokenizer=options.text_tokenizer or text, tokenizers={**exported, **options.tokenizers})


def _import_model(source: CheckpointSource, out: Path, options: ImportOptions, registry: Registry) -> list[str]:
    checkpoint = read_published_model(source)
    streams = checkpoint.model.streams
    text = _load_text_tokenizer(options.text_tokenizer, streams)
    names, scale, variants = _modalities_and_scale(checkpoint, registry)
    with tempfile.TemporaryDirectory() as scratch:
        folders: dict[str, Path] = {}
        fingerprints: dict[str, str] = {}
        for requested, location in options.tokenizers.items():
            name = resolve_tokenizer_name(requested, variants, registry)
            members = tokenizer_members(name, variants, registry)
            folders[name] = Path(scratch) / name
            task, fingerprint = _import_tokenizer(name, location, members, variants, streams, registry, folders[name])
            variants |= {member: with_tokenizer(variants[member], task) for member in members}
            fingerprints |= dict.fromkeys(members, fingerprint)
        with atomic_folder(out) as partial:
            save_model(
                partial,
                checkpoint.model,
                modalities=names,
                scale=scale,
                text=text,
                fingerprints={stream.name: fingerprints.get(stream.name, UNKNOWN_FINGERPRINT) for stream in streams},
                tokenizers=folders,
                card=_model_card(source, checkpoint),
                variants=variants,
            )
    return _summary_lines(out, checkpoint, text, folders, variants, registry)


def _modalities_and_scale(
    checkpoint: PublishedModel, registry: Registry
) -> tuple[tuple[str, ...], ScaleConfig, dict[str, ModalityVariant]]:
    """The model's modalities, its scale, and the variants of those whose sizes differ from the scale's."""
    if checkpoint.export_metadata is None:
        variants = build_variants(checkpoint.model.streams, registry)
        size = max((image_size(stream) for stream in checkpoint.model.streams), default=0)
        return tuple(variants), ScaleConfig(size=size or 224), variants
    return read_variants(checkpoint.export_metadata, registry)


def _load_text_tokenizer(path: Path | None, streams: tuple[Stream, ...]) -> TextTokenizer | None:
    if path is None:
        return None
    try:
        text = TextTokenizer.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The text tokenizer {path} cannot be read: {error}.") from error
    for stream in streams:
        if isinstance(stream, SequenceStream) and text.vocab_size > stream.vocab_size:
            raise CheckpointError(
                f"The text tokenizer {path} has {text.vocab_size} tokens; {stream.name!r} of this model has "
                f"{stream.vocab_size}."
            )
    return text


def _import_tokenizer(
    name: str,
    location: str,
    members: list[str],
    variants: Mapping[str, ModalityVariant],
    streams: tuple[Stream, ...],
    registry: Registry,
    folder: Path,
) -> tuple[Any, str]:
    """Import one tokenizer into ``folder``; gives its task and its fingerprint."""
    own = [stream for stream in streams if stream.name in members]
    spec = learned_tokenizer(registry[variants[members[0]].base])
    assert spec is not None
    grids = [stream.grid for stream in own if isinstance(stream, GridStream | PixelStream) and stream.grid]
    source = open_checkpoint(location)
    checkpoint = read_published_tokenizer(source, name, spec.tokenizer.loss, grids[0] if grids else None)
    task = replace(checkpoint.task, members=tuple(members))
    for stream in own:
        check_tokenizer_fits(task, stream)
    card = _tokenizer_card(
        source, describe_normalizations({member: registry[variants[member].base] for member in members})
    )
    return task, save_tokenizer(folder, checkpoint.tokenizer, task, checkpoint.config, card)


def _tokenizer_card(source: CheckpointSource, normalization: str) -> TokenizerCard:
    return TokenizerCard(
        normalization=normalization,
        usage=None,
        data_fingerprint="unknown",
        provenance=f"imported from {source.origin}" + ("" if source.export_metadata else f". {LICENSE_NOTICE}"),
    )


def _model_card(source: CheckpointSource, checkpoint: PublishedModel) -> dict[str, Any]:
    card = dict(checkpoint.export_metadata.get("card", {})) if checkpoint.export_metadata else {}
    extra = {"imported_from": source.origin, "parameters": sum(p.numel() for p in checkpoint.model.parameters())}
    if checkpoint.export_metadata is None:
        extra |= {"license": LICENSE_NOTICE, "notice": f"Imported from {source.origin}. {LICENSE_NOTICE}"}
    return {**card, **extra}


def _summary_lines(
    out: Path,
    checkpoint: PublishedModel,
    text: TextTokenizer | None,
    folders: Mapping[str, Path],
    variants: Mapping[str, ModalityVariant],
    registry: Registry,
) -> list[str]:
    names = [stream.name for stream in checkpoint.model.streams if not isinstance(stream, PixelStream)]
    lines = [f"4M model of {', '.join(names)} in {out}."]
    missing = {
        part.tokenizer.name
        for name, item in variants.items()
        if (part := learned_tokenizer(item.build_modality(name, registry)))
        and part.tokenizer.name not in folders
        and name in checkpoint.model.index
    }
    if missing:
        lines.append(f"Without tokenizers of {', '.join(sorted(missing))}: give them by --tokenizer NAME=PATH.")
    if text is None:
        lines.append("Without a text tokenizer: give it by --text-tokenizer FILE.")
    return lines if checkpoint.export_metadata else [*lines, LICENSE_NOTICE]
