"""``fourm embed``: embeddings of a data set by a trained model, as an index that ``fourm retrieve`` searches."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.cli.options import add_model_options, print_lines, split_names
from lightning_modules.checkpoints.find import find_model
from lightning_modules.inference.embedding import ENCODER_SPACE, Embedder, load_embedder
from lightning_modules.inference.embedding_index import IndexInfo, IndexWriter, check_index_path, write_index
from modalities.errors import ConfigError, DataError
from modalities.sources.base import Source, require_modalities
from modalities.sources.config import SourceConfig, parse_source
from modalities.sources.open import open_source

MOST_KEYS = 10_000_000
"""Samples of a split from which on ``--limit`` has to say how many are meant; scenes have no end."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the source, the model, what is embedded and how, and the file."""
    parser.add_argument("source", help="the data, as in folder:photos or scenes")
    add_model_options(parser)
    parser.add_argument("--from", dest="inputs", required=True, help="modalities, embedded together, as in rgb,depth")
    parser.add_argument("--out", type=Path, required=True, help="the file: .safetensors or .parquet")
    parser.add_argument(
        "--space",
        default=ENCODER_SPACE,
        help="encoder for the mean of its outputs, or a global feature that the model predicts, as in dinov2_global "
        "(default %(default)s)",
    )
    parser.add_argument("--split", default="test", help="split of the source (default %(default)s)")
    parser.add_argument("--limit", type=int, help="most samples; scenes need it")
    parser.add_argument("--batch-size", type=int, default=64, help="samples of a forward pass (default %(default)s)")
    parser.add_argument("--tokens", action="store_true", help="keep the vector of each token too; encoder only")
    parser.add_argument("--device", help="cpu, cuda, ...; if not given, a GPU where there is one")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Embed, and print what was written and what was left out.

    Raises:
        UserError: The source, the model, an input or the space does not fit.
    """
    check_index_path(arguments.out)
    for name in ("limit", "batch_size"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be 1 or more, got {value}.")
    if arguments.tokens and arguments.space != ENCODER_SPACE:
        raise ConfigError(f"--tokens is for --space {ENCODER_SPACE}: {arguments.space} is one vector a sample.")
    folder = find_model(arguments.model, arguments.arm, arguments.model_seed)
    embedder = load_embedder(folder, split_names(arguments.inputs), space=arguments.space, device=arguments.device)
    config = parse_source(arguments.source)
    source = open_source(config, {name: embedder.modalities[name] for name in embedder.inputs})
    keys = choose_keys(source, arguments.split, arguments.limit)
    info = IndexInfo(
        space=embedder.space,
        width=embedder.width,
        inputs=embedder.inputs,
        fingerprint=embedder.fingerprint,
        model=str(folder.resolve()),
        source=_absolute(config),
        split=arguments.split,
    )
    with write_index(arguments.out, info, with_tokens=arguments.tokens) as writer:
        embed_source(embedder, source, keys, writer, arguments.batch_size, console)
        num_written = len(writer.keys)
        if not num_written:
            raise DataError(
                f"None of the {len(keys)} samples of split {arguments.split!r} of {source.name} has "
                f"{' or '.join(embedder.inputs)}: nothing to embed."
            )
    print_lines(console, _summary(arguments, embedder, num_written, len(keys)))


def choose_keys(source: Source, split: str, limit: int | None) -> Sequence[str]:
    """The first keys of a split.

    Raises:
        UnknownNameError: There is no such split.
        ConfigError: The split has more samples than can be meant without ``--limit``.
        DataError: The split is empty.
    """
    keys = source.keys(split)
    if limit is None and len(keys) > MOST_KEYS:
        raise ConfigError(f"Split {split!r} of {source.name} has {len(keys):,} samples: say how many with --limit.")
    if not len(keys):
        raise DataError(f"Split {split!r} of {source.name} is empty.")
    return keys[: len(keys) if limit is None else limit]


def embed_source(
    embedder: Embedder, source: Source, keys: Sequence[str], writer: IndexWriter, batch_size: int, console: Console
) -> None:
    """Embed the samples with these keys batch by batch.

    Raises:
        DataError: The source has no values of an input at all, or a value cannot be read.
    """
    modalities = [embedder.modalities[name] for name in embedder.inputs]
    require_modalities(source, modalities)
    columns = (TextColumn("samples"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("embed", total=len(keys))
        for first in range(0, len(keys), batch_size):
            part = keys[first : first + batch_size]
            samples = [{item.name: source.read(key, item) for item in modalities} for key in part]
            for key, found in zip(part, embedder.embed(samples, first=first), strict=True):
                if found is not None:
                    writer.add(key, found.vector, found.tokens)
            progress.advance(task, len(part))


def _absolute(config: SourceConfig) -> SourceConfig:
    """The source with the full path of a local file or folder, so that the index can be used from any folder."""
    return (
        replace(config, path=str(Path(config.path).resolve())) if config.path and Path(config.path).exists() else config
    )


def _summary(arguments: argparse.Namespace, embedder: Embedder, num_written: int, num_keys: int) -> list[str]:
    lines = [
        f"{num_written:,} embeddings of width {embedder.width} from {'+'.join(embedder.inputs)} "
        f"({embedder.space}): {arguments.out}"
    ]
    if num_written < num_keys:
        lines.append(f"{num_keys - num_written:,} samples have none of {', '.join(embedder.inputs)} and are left out.")
    if arguments.limit is not None and num_keys < arguments.limit:
        lines.append(f"The split has {num_keys:,} samples, fewer than --limit {arguments.limit}.")
    return lines
