"""Finds cases by what files hold, not by what they are called, and runs the checks that fit."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from lightning_modules.checkpoints.published import open_checkpoint, read_published_model, read_published_tokenizer
from modalities.errors import UserError
from networks.pretrained.adapters import FourMAdapter, TokenizerAdapter
from tests.reference.check import Check
from tests.reference.fourm import check_model, is_model_case
from tests.reference.generation import check_generation, is_generation_case
from tests.reference.masking import check_budgets, check_spans, is_budgets, is_span_masking
from tests.reference.schedules import check_schedules, is_schedules
from tests.reference.serialisation import check_serialization, is_serialization
from tests.reference.tokenizers import check_tokenizer, is_tokenizer_case

WEIGHTS_FILE, IO = "model.safetensors", "io.safetensors"

FILES: tuple[tuple[Callable[[Any], bool], Callable[[str, Mapping[str, Any]], Iterator[Check]]], ...] = (
    (is_serialization, check_serialization),
    (is_span_masking, check_spans),
    (is_budgets, check_budgets),
    (is_schedules, check_schedules),
)


def run_cases(root: Path) -> Iterator[Check]:
    """Every check of every case in ``root`` and below. One that cannot be read fails; other files are skipped."""
    for path in sorted(root.rglob(IO)):
        if (path.parent / WEIGHTS_FILE).exists():
            name = str(path.parent.relative_to(root))
            yield from _guarded(name, partial(_folder, name, path.parent))
    for path in sorted(root.rglob("*.json")):
        content = _content(path)
        for fits, check in FILES:
            if fits(content):
                name = str(path.relative_to(root).with_suffix(""))
                yield from _guarded(name, partial(check, name, content))


def _folder(name: str, folder: Path) -> Iterator[Check]:
    io = load_file(folder / IO)
    source = open_checkpoint(folder)
    if FourMAdapter.accepts(source.config):
        model = read_published_model(source).model
        if is_model_case(io):
            yield from check_model(name, folder, model, io)
        if is_generation_case(io):
            yield from check_generation(name, model, io)
    elif TokenizerAdapter.accepts(source.config) and is_tokenizer_case(io):
        yield from check_tokenizer(name, read_published_tokenizer(source, name=name).tokenizer, io)


def _guarded(name: str, run: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of one case; one that fails where a case cannot be read at all."""
    try:
        yield from run()
    except (UserError, KeyError, ValueError, RuntimeError, IndexError) as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        yield Check(case=name, quantity=f"could not be run ({line})", error=float("inf"), tolerance=0.0)


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None
