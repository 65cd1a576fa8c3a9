"""``fourm retrieve``: the samples of an embedded data set that are nearest to a query of any modalities."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.options import parse_pairs, print_lines
from lightning_modules.checkpoints.find import find_model
from lightning_modules.inference.embedding import Embedder, load_embedder
from lightning_modules.inference.embedding_index import EmbeddingIndex, IndexInfo, read_index
from lightning_modules.inference.embedding_search import (
    LARGE_INDEX,
    Answer,
    check_index,
    search_approximately,
    search_exact,
)
from lightning_modules.inference.values import read_sample
from modalities.errors import ConfigError, DataError
from modalities.rendering.sheet import ContactSheet, render_value
from modalities.sources.open import open_source
from modalities.spec import Modality, SequenceModality
from modalities.storage.atomic import atomic_file

DEFAULT_SHEET = Path("retrieval.png")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the query, the index, the model, and what is written."""
    parser.add_argument(
        "query", nargs="+", metavar="NAME=VALUE", help="a file or a text of each modality, as in caption='a red ball'"
    )
    parser.add_argument("--index", type=Path, required=True, help="a file of fourm embed")
    parser.add_argument("--model", type=Path, help="the model's folder; if not given, the one that made the index")
    parser.add_argument("--arm", help="arm of an ablation, with --model")
    parser.add_argument("--model-seed", type=int, help="seed of an ablation's model, with --model")
    parser.add_argument("--top", type=int, default=9, help="answers (default %(default)s)")
    parser.add_argument(
        "--show", help="modality of the answers' pictures; if not given, the first image, or what was embedded"
    )
    parser.add_argument(
        "--out", type=Path, help=f"sheet of query and answers (default {DEFAULT_SHEET}, none with --json)"
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")
    parser.add_argument("--exact", action="store_true", help="compare all entries of a large index too")
    parser.add_argument("--device", help="cpu, cuda, ...; if not given, a GPU where there is one")


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Search, print the answers, and write the sheet.

    Raises:
        UserError: The query, the index or the model does not fit.
    """
    if arguments.top < 1:
        raise ConfigError(f"--top must be 1 or more, got {arguments.top}.")
    words = parse_pairs("the query", arguments.query)
    index = read_index(arguments.index)
    folder = find_model(
        arguments.model or recorded_model(arguments.index, index.info), arguments.arm, arguments.model_seed
    )
    embedder = load_embedder(folder, list(words), space=index.info.space, device=arguments.device)
    check_index(arguments.index, index, embedder)
    if len(embedder.inputs) < len(words):
        raise ConfigError(f"The query gives one modality twice: {', '.join(words)}.")
    query = read_query(embedder.modalities, dict(zip(embedder.inputs, words.values(), strict=True)))
    (found,) = embedder.embed([query])
    assert found is not None
    answers, note = search(arguments.index, index, found.vector, arguments.top, exact=arguments.exact)
    out = arguments.out or (None if arguments.json else DEFAULT_SHEET)
    if out is not None:
        write_sheet(out, embedder, query, index.info, answers, arguments.show)
    if arguments.json:
        rows = [{"key": item.key, "similarity": item.similarity} for item in answers]
        print_lines(console, [json.dumps({"index": str(arguments.index), "query": words, "answers": rows}, indent=1)])
        return
    print_lines(console, [f"{rank:>3}  {item.similarity:.3f}  {item.key}" for rank, item in enumerate(answers, 1)])
    print_lines(console, [*note, *([f"Sheet: {out}"] if out else [])])


def recorded_model(path: Path, info: IndexInfo) -> Path:
    """The folder of the model that made an index.

    Raises:
        DataError: It is not there any more.
    """
    if not info.model or not Path(info.model).is_dir():
        raise DataError(f"{path} was made by the model {info.model or '?'}, which is not there: name it with --model.")
    return Path(info.model)


def read_query(modalities: Mapping[str, Modality], words: Mapping[str, str]) -> dict[str, Any]:
    """The values at the model's scale that words of the command line mean: files, or texts.

    Raises:
        DataError: A file cannot be read, or a text is not its modality's.
    """
    given = read_sample(modalities, words)
    values: dict[str, Any] = {}
    for name, item in given.values.items():
        modality = modalities[name]
        if item.text is None:
            values[name] = modality.transform(item.value, given.crop)
            continue
        assert isinstance(modality, SequenceModality)
        parsed = modality.parse(item.text)
        if not parsed.well_formed:
            raise DataError(f"{item.text!r} does not spell {modality.title.lower()}: expected such a text, or a file.")
        values[name] = parsed.value
    return values


def search(path: Path, index: EmbeddingIndex, vector: Any, top: int, *, exact: bool) -> tuple[list[Answer], list[str]]:
    """The answers, and a note where not all entries were compared."""
    if exact or len(index.keys) < LARGE_INDEX:
        return search_exact(index, vector, top), []
    try:
        import faiss
    except ImportError:
        hint = f"From {LARGE_INDEX:,} entries on, faiss is faster: pip install 'fourm-lab[retrieval]'."
        return search_exact(index, vector, top), [hint]
    note = "Approximate: faiss compared the entries of one list in eight; --exact compares all."
    return search_approximately(path, index, vector, top, faiss), [note]


def write_sheet(
    out: Path,
    embedder: Embedder,
    query: Mapping[str, Any],
    info: IndexInfo,
    answers: Sequence[Answer],
    show: str | None,
) -> None:
    """Write the query and its answers as one picture.

    Raises:
        UserError: The source of the index, or an answer in it, cannot be read.
    """
    shown = shown_modality(embedder, info, show)
    source = open_source(info.source, {shown.name: shown})
    columns = [embedder.modalities[name].title for name in query]
    tiles = [render_value(embedder.modalities[name], value) for name, value in query.items()]
    for rank, answer in enumerate(answers, 1):
        value = source.read(answer.key, shown)
        columns.append(f"{rank}: {answer.similarity:.3f}")
        tiles.append(f"{answer.key} has no {shown.name}" if value is None else render_value(shown, value))
    title = f"{' + '.join(columns[: len(query)])} → {shown.title}"
    sheet = ContactSheet(title=title, note=f"({info.space})", columns=tuple(columns), rows=(tuple(tiles),))
    with atomic_file(out, make_parents=True) as file:
        sheet.image().save(file, format="PNG")


def shown_modality(embedder: Embedder, info: IndexInfo, name: str | None) -> Modality:
    """The modality that stands for an answer: the one asked for, the first image of the source, or what was embedded.

    Raises:
        ConfigError: The model has no such modality.
    """
    if name is not None:
        if name not in embedder.modalities:
            raise ConfigError(f"--show {name}: this model has {', '.join(embedder.modalities)}.")
        return embedder.modalities[name]
    for item in embedder.modalities.values():
        if item.has_pixel_stream and open_source(info.source, {item.name: item}).explain_missing(item) is None:
            return item
    return embedder.modalities[info.inputs[0]]
