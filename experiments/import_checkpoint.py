"""From a published checkpoint to an ordinary folder: of a model, with the tokenizers at hand, or of a tokenizer."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.variants import check_fit, members_of, tokenizer_name, variants_of, with_tokenizer
from lightning_modules.checkpoint import UNKNOWN, Variant, save_model
from lightning_modules.published import (
    ReadModel,
    Source,
    read_published_model,
    read_published_tokenizer,
    read_source,
)
from lightning_modules.records import from_plain
from lightning_modules.tokenizer_folder import TokenizerCard, save_tokenizer
from modalities.errors import CheckpointError, DataError
from modalities.registry import Registry, default_registry
from modalities.spec import PREPARED, Scale, learnt, normalisations
from networks.pretrained.fourm_layout import is_fourm
from networks.streams import PIXELS, Stream, StreamKind
from networks.tokenizers.text import TextTokenizer

LICENCE = "The published 4M weights are for non-commercial use only; see the licence that came with them."

TEXT, TOKENIZERS = "text_tokenizer.json", "tokenizers"
"""Where an exported folder has what the published format keeps apart."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person gave beside the checkpoint."""

    text_tokenizer: Path | None = None
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    """Published tokenizers by the name of a modality or of a tokenizer."""


def import_checkpoint(place: str, out: Path, wanted: Wanted, registry: Registry | None = None) -> list[str]:
    """Import a checkpoint into the folder ``out``; answers with lines for a person.

    Args:
        place: A file, a folder, or a repository of the hub.

    Raises:
        CheckpointError: A key is unknown, a tensor is missing, or a shape does not fit; the message names it.
        DataError: The text tokenizer cannot be read, or the folder cannot be written.
    """
    source = read_source(place)
    if is_fourm(source.config):
        return _import_model(source, out, _with_neighbours(wanted, Path(place)), registry or default_registry())
    read = read_published_tokenizer(source, out.name)
    save_tokenizer(out, read.tokenizer, read.task, read.config, _card(source, PREPARED))
    return [
        f"Tokenizer of {read.task.layout.num_tokens} tokens out of {read.task.tokenizer.vocab} in {out}.",
        *([] if source.own else [LICENCE]),
    ]


def _with_neighbours(wanted: Wanted, folder: Path) -> Wanted:
    """What was given, and what an exported folder has beside the weights."""
    text = folder / TEXT if (folder / TEXT).is_file() else None
    beside = {path.name: str(path) for path in sorted((folder / TOKENIZERS).glob("*")) if path.is_dir()}
    return Wanted(text_tokenizer=wanted.text_tokenizer or text, tokenizers={**beside, **wanted.tokenizers})


def _import_model(source: Source, out: Path, wanted: Wanted, registry: Registry) -> list[str]:
    read = read_published_model(source)
    streams = read.model.streams
    text = _text(wanted.text_tokenizer, streams)
    names, scale, variants = _identity(read, registry)
    with tempfile.TemporaryDirectory() as scratch:
        folders: dict[str, Path] = {}
        prints: dict[str, str] = {}
        for given, place in wanted.tokenizers.items():
            name = tokenizer_name(given, variants, registry)
            members = members_of(name, variants, registry)
            folders[name] = Path(scratch) / name
            task, fingerprint = _tokenizer(name, place, members, variants, streams, registry, folders[name])
            variants |= {member: with_tokenizer(variants[member], task) for member in members}
            prints |= dict.fromkeys(members, fingerprint)
        save_model(
            out,
            read.model,
            modalities=names,
            scale=scale,
            text=text,
            fingerprints={stream.name: prints.get(stream.name, UNKNOWN) for stream in streams},
            tokenizers=folders,
            card=_model_card(source, read),
            variants=variants,
        )
    return _told(out, read, text, folders, variants, registry)


def _identity(read: ReadModel, registry: Registry) -> tuple[tuple[str, ...], Scale, dict[str, Variant]]:
    """The model's modalities, its scale, and which of them no scale gives."""
    if read.own is None:
        variants = variants_of(read.model.streams, registry)
        size = max((stream.grid * (stream.patch or 16) for stream in read.model.streams), default=0)
        return tuple(variants), Scale(size=size or 224), variants
    try:
        names = tuple(str(name) for name in read.own["modalities"])
        scale = from_plain(Scale, read.own["scale"])
        variants = {name: from_plain(Variant, item) for name, item in read.own["variants"].items()}
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"The checkpoint does not describe its modalities: {error}.") from error
    for name in names:
        if name not in variants:
            modality = registry[name].at(scale)
            variants[name] = Variant(base=name, layout=modality.layout, tokenizer=modality.tokenizer)
    return names, scale, variants


def _text(path: Path | None, streams: tuple[Stream, ...]) -> TextTokenizer | None:
    if path is None:
        return None
    try:
        text = TextTokenizer.from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The text tokenizer {path} cannot be read: {error}.") from error
    for stream in streams:
        if stream.kind is StreamKind.sequence and text.vocab_size > stream.vocab:
            raise CheckpointError(
                f"The text tokenizer {path} has {text.vocab_size} tokens; {stream.name!r} of this model has "
                f"{stream.vocab}."
            )
    return text


def _tokenizer(
    name: str,
    place: str,
    members: list[str],
    variants: Mapping[str, Variant],
    streams: tuple[Stream, ...],
    registry: Registry,
    folder: Path,
) -> tuple[Any, str]:
    """Import one tokenizer into ``folder``: its task, and its fingerprint."""
    own = [stream for stream in streams if stream.name in members]
    spec = learnt(registry[variants[members[0]].base])
    assert spec is not None
    grids = [stream.grid for stream in own if stream.grid]
    source = read_source(place)
    read = read_published_tokenizer(source, name, spec.tokenizer.loss, grids[0] if grids else None)
    task = replace(read.task, members=tuple(members))
    for stream in own:
        check_fit(task, stream)
    card = _card(source, normalisations({member: registry[variants[member].base] for member in members}))
    return task, save_tokenizer(folder, read.tokenizer, task, read.config, card)


def _card(source: Source, normalisation: str) -> TokenizerCard:
    return TokenizerCard(
        normalisation=normalisation,
        usage=None,
        data_fingerprint="unknown",
        provenance=f"imported from {source.origin}" + ("" if source.own else f". {LICENCE}"),
    )


def _model_card(source: Source, read: ReadModel) -> dict[str, Any]:
    card = dict(read.own.get("card", {})) if read.own else {}
    facts = {"imported_from": source.origin, "parameters": sum(p.numel() for p in read.model.parameters())}
    if read.own is None:
        facts |= {"licence": LICENCE, "notice": f"Imported from {source.origin}. {LICENCE}"}
    return {**card, **facts}


def _told(
    out: Path,
    read: ReadModel,
    text: TextTokenizer | None,
    folders: Mapping[str, Path],
    variants: Mapping[str, Variant],
    registry: Registry,
) -> list[str]:
    names = [stream.name for stream in read.model.streams if not stream.name.endswith(PIXELS)]
    lines = [f"4M model of {', '.join(names)} in {out}."]
    missing = {
        part.tokenizer.name
        for name, item in variants.items()
        if (part := learnt(replace(registry[item.base], name=name, layout=item.layout, tokenizer=item.tokenizer)))
        and part.tokenizer.name not in folders
        and name in read.model.index
    }
    if missing:
        lines.append(f"Without tokenizers of {', '.join(sorted(missing))}: give them by --tokenizer NAME=PATH.")
    if text is None:
        lines.append("Without a text tokenizer: give it by --text-tokenizer FILE.")
    return lines if read.own else [*lines, LICENCE]
