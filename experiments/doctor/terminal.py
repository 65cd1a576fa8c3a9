"""An examination as tables and lines of a terminal, and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.cli.options import print_lines
from experiments.doctor.checks.columns import ColumnSummary
from experiments.doctor.examine import Diagnosis
from experiments.doctor.findings import MAX_KEPT, Finding, Severity, examples
from modalities.errors import UserError
from modalities.storage.serialization import to_plain

MAX_LINES = 20
"""Findings of one check that are printed; JSON has up to `MAX_KEPT` of each modality."""
_STYLES = {Severity.error: "red", Severity.warning: "yellow", Severity.note: None}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def print_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Print tables of what there is, then findings, errors last, where a person looks first."""
    source, config = diagnosis.subject.source, diagnosis.subject.config
    sizes = ", ".join(
        f"{split.name} " + ("unlimited" if split.is_endless else f"{split.samples:,}") for split in diagnosis.splits
    )
    print_lines(console, [f"{source.name}: {source.description}; licence {source.license}; {sizes or 'no splits'}"])
    print_lines(console, [f"Read at {config.scale.size} pixels, {config.scale.patch} to a token's side."])
    print_lines(console, diagnosis.notes, style="yellow")
    for table in (_columns_table(diagnosis), _texts_table(diagnosis), _classes_table(diagnosis)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    print_lines(console, _estimate_lines(diagnosis))
    for severity in reversed(Severity):
        print_lines(console, _finding_lines(diagnosis.of_severity(severity)), style=_STYLES[severity])
    print_lines(console, [summary_line(diagnosis)])


def summary_line(diagnosis: Diagnosis) -> str:
    """The numbers of errors and warnings."""
    errors, warnings = (diagnosis.count(item) for item in (Severity.error, Severity.warning))
    return f"{_count(errors, 'error')}, {_count(warnings, 'warning')} in {diagnosis.subject.source.name}"


def diagnosis_json(diagnosis: Diagnosis) -> str:
    """The whole diagnosis for a program."""
    source, config, estimate = diagnosis.subject.source, diagnosis.subject.config, diagnosis.estimate
    content = {
        "source": {"name": source.name, "description": source.description, "license": source.license},
        "scale": to_plain(config.scale),
        "splits": [to_plain(item) for item in diagnosis.splits],
        "modalities": [_column_json(item, diagnosis) for item in diagnosis.columns],
        "classes": [{**to_plain(item), "unused": list(item.unused)} for item in diagnosis.classes],
        "texts": [
            {
                "modality": item.modality,
                "split": item.split,
                "count": item.count,
                "limit": item.limit,
                "mean": item.mean,
                "longest": item.longest,
                "over_limit": item.num_over,
                "unknown_share": item.unknown_share,
            }
            for item in diagnosis.texts
        ],
        "estimate": {
            **to_plain(estimate),
            "tokens": estimate.tokens,
            "disk_bytes": estimate.disk_bytes,
        },
        "notes": list(diagnosis.notes),
        "errors": diagnosis.count(Severity.error),
        "warnings": diagnosis.count(Severity.warning),
        "findings": [to_plain(item) for item in diagnosis.findings],
    }
    return json.dumps(content, indent=2, allow_nan=False)


def failure_json(error: UserError) -> str:
    """The result for a program where a source cannot be opened or listed."""
    finding = Finding(severity=Severity.error, check="source", message=str(error))
    return json.dumps({"errors": 1, "warnings": 0, "findings": [to_plain(finding)]}, indent=2)


def format_bytes(count: float) -> str:
    """A number of bytes with a unit of thousands."""
    step = 0
    while count >= 1000 and step < len(_UNITS) - 1:
        count, step = count / 1000, step + 1
    return f"{count:.3g} {_UNITS[step]}"


def _column_json(column: ColumnSummary, diagnosis: Diagnosis) -> dict[str, Any]:
    shapes = [{"shape": list(shape), "count": count} for shape, count in column.shapes.most_common()]
    plain = {
        "modality": column.modality,
        "split": column.split,
        "present": column.present,
        "missing": column.missing,
        "missing_keys": column.missing_keys,
        "unreadable": column.unreadable,
    }
    numbers = {
        "low": column.low,
        "high": column.high,
        "declared": str(diagnosis.subject.modalities[column.modality].value_spec),
    }
    return {**plain, "shapes": shapes, "types": dict(column.types), **numbers}


def _columns_table(diagnosis: Diagnosis) -> Table:
    splits = [split.name for split in diagnosis.splits]
    table = Table("modality", *splits, "shape", "type", "range", "declared", box=None)
    for name in diagnosis.subject.modalities:
        columns = {column.split: column for column in diagnosis.columns if column.modality == name}
        shapes = sum((column.shapes for column in columns.values()), Counter[tuple[int, ...]]())
        types = dict.fromkeys(item for column in columns.values() for item in column.types)
        lows = [column.low for column in columns.values() if column.low is not None]
        highs = [column.high for column in columns.values() if column.high is not None]
        table.add_row(
            name,
            *(_have(columns.get(split)) for split in splits),
            _shapes(shapes),
            examples(list(types), 2),
            f"{min(lows):.4g} to {max(highs):.4g}" if lows else "",
            _declared(diagnosis, name),
        )
    return table


def _have(column: ColumnSummary | None) -> str:
    """The samples of a split that have a modality, out of those that were read."""
    if column is None:
        return "–"
    have = f"{column.present:,}" + (f" of {column.num_read:,}" if column.missing else "")
    return have + (f", {column.unreadable:,} unreadable" if column.unreadable else "")


def _declared(diagnosis: Diagnosis, name: str) -> str:
    """Unit and range of a modality's numbers, as far as it has them."""
    spec = diagnosis.subject.modalities[name].value_spec
    return ", ".join(part for part in (spec.unit, spec.range) if part)


def _shapes(shapes: Counter[tuple[int, ...]]) -> str:
    """The commonest shape, or the range of each axis where there are several."""
    if not shapes:
        return ""
    if len(shapes) == 1 or len({len(shape) for shape in shapes}) > 1:
        return examples([" x ".join(map(str, shape)) for shape, _ in shapes.most_common()], 1)
    axes = [sorted(lengths) for lengths in zip(*shapes, strict=True)]
    return " x ".join(str(axis[0]) if axis[0] == axis[-1] else f"{axis[0]}..{axis[-1]}" for axis in axes)


def _texts_table(diagnosis: Diagnosis) -> Table:
    table = Table("text", "split", "texts", "tokens, mean", "longest", "kept", "over", "unknown tokens", box=None)
    for item in diagnosis.texts:
        numbers = (f"{item.count:,}", f"{item.mean:.1f}", f"{item.longest:,}", f"{item.limit:,}")
        table.add_row(item.modality, item.split, *numbers, f"{item.num_over:,}", f"{100 * item.unknown_share:.2f} %")
    return table


def _classes_table(diagnosis: Diagnosis) -> Table:
    table = Table("classes of", "declared", "used", "commonest", "unknown", "no class", box=None)
    for item in diagnosis.classes:
        commonest = [f"{name} {count:,}" for name, count in item.used.most_common()]
        unknown, ignored = list(item.unknown), list(item.ignored)
        counts = (f"{len(item.declared):,}", f"{len(item.used):,}")
        table.add_row(item.modality, *counts, examples(commonest, 3), examples(unknown, 3), examples(ignored, 3))
    return table


def _estimate_lines(diagnosis: Diagnosis) -> Iterator[str]:
    estimate = diagnosis.estimate
    counts = " and ".join(f"{count:,} {split}" for split, count in estimate.samples.items())
    yield (
        f"A run on {counts or 'no'} samples: {estimate.tokens:,} tokens, {format_bytes(estimate.disk_bytes)} on disk "
        f"({format_bytes(estimate.raw_bytes)} of values, {format_bytes(estimate.token_bytes)} of tokens)."
    )
    if estimate.model is None:
        yield "With a config, or settings such as model.size=tiny, the memory of its training is estimated too."
        return
    yield f"Each training sample is shown {estimate.model.times_shown:.3g} times."
    yield from (f"Model {arm}: {count:,} parameters." for arm, count in estimate.model.parameters.items())
    yield (
        f"Weights, gradients and optimizer take {format_bytes(estimate.model.training_bytes)} of memory; "
        "activations come on top, in proportion to training.batch_size."
    )


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings check by check; of one check the first `MAX_LINES`."""
    for (check, severity), group in groupby(findings, key=lambda item: (item.check, item.severity)):
        items = list(group)
        yield from (f"{severity.value}: {item.message}" for item in items[:MAX_LINES])
        if len(items) > MAX_LINES:
            rest = sum(item.count for item in items[MAX_LINES:])
            how_many = "all" if rest == len(items) - MAX_LINES else f"the first {MAX_KEPT:,} of a modality"
            yield f"{severity.value}: {rest:,} more findings of {check}: --json lists {how_many}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
