"""The contract of a modality as named checks, for the built-in ones and for the suites of packages that bring their own.

    from modalities.conformance import assert_conforms
    assert_conforms(MODALITY)

Arrays have the shape that the layout says: (side, side) for one channel or classes, else (side, side, channels);
(channels,) for vectors; (up to max_tokens, channels) for embeddings. Values are compared through arrays, records,
strings and numbers, within `TOLERANCE`.
"""

import copy
import dataclasses
import keyword
import math
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.errors import DataError
from modalities.scene import Scene, make_scene
from modalities.spec import (
    Codes,
    Dense,
    Embeddings,
    Linear,
    Loss,
    Modality,
    ProductMLP,
    Scale,
    SequenceModality,
    Text,
    Value,
    Vector,
    View,
    ViTVQ,
    WordPiece,
    learnt,
)

SEEDS = (5, 12, 29)
"""Scenes that are looked at."""
SCALE = Scale(size=64, patch=8, max_channels=32, max_vocab=512)
"""The scale that values are looked at in."""
TOLERANCE = 1e-3
WHOLE = View(left=0, top=0, width=1, height=1)
MIRRORED = View(left=0, top=0, width=1, height=1, flip=True)
CORNER = View(left=0.25, top=0.5, width=0.5, height=0.5)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of the contract."""

    name: str
    passed: bool
    message: str = ""
    """What was expected and found, where it failed."""


class _Failed(Exception):
    """A point of the contract that does not hold."""


def expect(holds: object, message: str) -> None:
    """Fail the check that is running unless ``holds``."""
    if not holds:
        raise _Failed(message)


@dataclass(frozen=True)
class Subject:
    """A modality under examination, and what it sees."""

    declared: Modality
    """As published, at full size."""
    modality: Modality
    """At the scale of the examination."""
    seeds: tuple[int, ...]

    @cached_property
    def scenes(self) -> list[Scene]:
        """The scenes that the modality looks at."""
        layout = self.modality.layout
        size = layout.size if isinstance(layout, Dense) else SCALE.size
        return [make_scene(seed, size=size) for seed in self.seeds]

    @cached_property
    def values(self) -> list[Value]:
        """What it sees in them."""
        return [self.modality.look(scene) for scene in self.scenes]

    def codes(self, value: Value) -> NDArray[np.int64] | None:
        """Codes that a learnt tokenizer might give the value's parts, where there are any."""
        found = learnt(self.modality)
        if found is None:
            return None
        shape = (len(self.modality.prepare(value)), found.layout.num_tokens)
        return np.random.default_rng(0).integers(0, found.tokenizer.vocab, shape)


def check_modality(
    modality: Modality, seeds: Sequence[int] = SEEDS, scale: Scale = SCALE
) -> list[CheckResult]:
    """Every check of the contract that concerns ``modality``; one that raises has failed."""
    try:
        small = modality.at(scale)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's code raises is its failure
        return [CheckResult(name="scales", passed=False, message=f"at(): {type(error).__name__}: {error}")]
    subject = Subject(modality, small, tuple(seeds))
    return [_run(name, check, subject) for name, check in CHECKS.items() if _concerns(check, small)]


def assert_conforms(modality: Modality, seeds: Sequence[int] = SEEDS, scale: Scale = SCALE) -> None:
    """Raise AssertionError with the failed checks, if there are any."""
    failed = [result for result in check_modality(modality, seeds, scale) if not result.passed]
    lines = "".join(f"\n  {result.name}: {result.message}" for result in failed)
    if failed:
        raise AssertionError(f"Modality {modality.name!r} does not keep its contract:{lines}")


def _run(name: str, check: Callable[[Subject], None], subject: Subject) -> CheckResult:
    try:
        check(subject)
    except _Failed as error:
        return CheckResult(name=name, passed=False, message=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a stranger's code raises is its failure
        return CheckResult(name=name, passed=False, message=f"{type(error).__name__}: {error}")
    return CheckResult(name=name, passed=True)


def same(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    """True where two values say the same: arrays and numbers within the tolerance, everything else exactly."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        one, other = np.asarray(one), np.asarray(other)
        return one.shape == other.shape and np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance) or (one != one and other != other)
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        return all(
            same(getattr(one, item.name), getattr(other, item.name), tolerance) for item in dataclasses.fields(one)
        )
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(*pair, tolerance) for pair in zip(one, other, strict=True))
    return bool(one == other)


def shape_problem(modality: Modality, value: Value) -> str:
    """What is wrong with the shape of ``value`` by the layout; empty where nothing is."""
    match modality.layout:
        case Dense() as layout:
            side = layout.side
            shape: tuple[int, ...] = (side, side)
            if layout.channels > 1 and not layout.categorical:
                shape = (side, side, layout.channels)
        case Vector() as layout:
            shape = (layout.channels,)
        case Embeddings() as layout:
            found = getattr(value, "shape", None)
            fits = found is not None and len(found) == 2 and found[0] <= layout.max_tokens
            fits = fits and found[1] == layout.channels
            return "" if fits else f"shape {found}, expected (up to {layout.max_tokens}, {layout.channels})"
        case Text():
            return "" if value is not None else "None, expected a value"
    found = getattr(value, "shape", None)
    return "" if found == shape else f"shape {found}, expected {shape}"


def is_named_well(subject: Subject) -> None:
    """The name is an identifier in lower case, and there is a title."""
    name = subject.declared.name
    fits = name.isidentifier() and name == name.lower() and not keyword.iskeyword(name)
    expect(fits, f"{name!r} is not a lower-case Python identifier")
    expect(subject.declared.title.strip(), "the title is empty")


def is_frozen(subject: Subject) -> None:
    """Facts cannot be changed after the fact, and equal facts are equal."""
    try:
        setattr(subject.declared, "name", subject.declared.name)  # noqa: B010 - the point is to try
    except dataclasses.FrozenInstanceError:
        pass
    else:
        raise _Failed("its fields can be set; decorate the class with @dataclass(frozen=True, kw_only=True)")
    expect(replace(subject.declared) == subject.declared, "a copy with the same fields is not equal")
    hash(subject.declared)


def agrees_with_itself(subject: Subject) -> None:
    """Layout, tokenizer and class fit each other, at both scales."""
    for modality in (subject.declared, subject.modality):
        layout, tokenizer = modality.layout, modality.tokenizer
        pairs = {Dense: ViTVQ, Vector: ProductMLP, Text: WordPiece, Embeddings: Linear}
        wanted = pairs[type(layout)]
        expect(isinstance(tokenizer, wanted), f"a {type(layout).__name__} layout needs a {wanted.__name__} tokenizer")
        is_spelled = isinstance(modality, SequenceModality)
        expect(is_spelled == isinstance(layout, Text), "a Text layout and the class SequenceModality go together")
        expect(not modality.pixels or isinstance(layout, Dense), "only a Dense layout can enter as pixels")
        expect(modality.num_tokens > 0, "it has no tokens")
        codes = learnt(modality)
        if codes is not None:
            _codes_agree(codes)


def _codes_agree(codes: Codes) -> None:
    layout, tokenizer = codes.layout, codes.tokenizer
    expect(tokenizer.name.isidentifier(), f"the tokenizer's name {tokenizer.name!r} is not an identifier")
    expect(tokenizer.vocab > 1, f"a codebook of {tokenizer.vocab} codes says nothing")
    if isinstance(layout, Dense):
        expect(layout.size % layout.patch == 0, f"patches of {layout.patch} do not divide {layout.size} pixels")
        expect(layout.patch % layout.cell == 0, f"cells of {layout.cell} pixels do not divide patches of {layout.patch}")
        is_classes = tokenizer.loss is Loss.cross_entropy
        expect(layout.categorical == is_classes, "class maps and the loss cross_entropy go together")


def scales(subject: Subject) -> None:
    """At another scale it is the same modality with another layout, and doing so twice changes nothing."""
    small = subject.modality
    expect(type(small) is type(subject.declared) and small.name == subject.declared.name, "at() changed what it is")
    if isinstance(small.layout, Dense):
        expect(small.layout.size == SCALE.size, f"at() left the size at {small.layout.size}, expected {SCALE.size}")
    short = subject.declared.at(replace(SCALE, max_tokens=3))
    is_sequence = isinstance(small.layout, Text | Embeddings)
    expect(not is_sequence or short.num_tokens <= 3, "at() ignored max_tokens")
    codes = learnt(small)
    expect(codes is None or codes.tokenizer.vocab <= (SCALE.max_vocab or 0), "at() ignored max_vocab")
    expect(small.at(SCALE) == small, "at() twice is not at() once")


def looks(subject: Subject) -> None:
    """A scene gives a value of the documented shape, and the same one each time."""
    for value, scene in zip(subject.values, subject.scenes, strict=True):
        problem = shape_problem(subject.modality, value)
        expect(not problem, f"look() gave {problem}")
        again = subject.modality.look(make_scene(scene.seed, size=scene.size))
        expect(same(value, again, 0.0), f"look() gave two values of scene {scene.seed}")


def keeps_files(subject: Subject) -> None:
    """What is written is read back, and nothing else is left in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"value{subject.modality.suffix}"
        for value in subject.values:
            subject.modality.write(path, value)
            expect(same(subject.modality.read(path), value), "read() does not give back what write() was given")
            left = sorted(item.name for item in Path(folder).iterdir())
            expect(left == [path.name], f"write() left {left}, expected {[path.name]}")
        _survives_bad_files(subject.modality, path)


def _survives_bad_files(modality: Modality, path: Path) -> None:
    size = path.stat().st_size
    for what, content in (("a damaged", b"\xff\xfe\x00garbage"), ("a truncated", path.read_bytes()[: size // 2])):
        if what == "a truncated" and modality.suffix == ".txt":
            # Half a text is a text.
            continue
        path.write_bytes(content)
        _expect_data_error(modality, path, what)
    path.unlink()
    _expect_data_error(modality, path, "a missing")


def _expect_data_error(modality: Modality, path: Path, what: str) -> None:
    try:
        modality.read(path)
    except DataError as error:
        expect(path.name in str(error), f"the message on {what} file does not name it: {error}")
        expect("\n" not in str(error), f"the message on {what} file has several lines")
        return
    raise _Failed(f"read() of {what} file raised no DataError")


def is_seen(subject: Subject) -> None:
    """A view gives a legal value; the whole changes nothing, and a mirror twice changes nothing."""
    modality = subject.modality
    for value in subject.values:
        before = copy.deepcopy(value)
        seen = modality.augment(value, CORNER)
        expect(not shape_problem(modality, seen), f"augment() gave {shape_problem(modality, seen)}")
        whole = modality.augment(value, WHOLE)
        expect(same(whole, value), "augment() changed a value that it was to show whole")
        twice = modality.augment(modality.augment(value, MIRRORED), MIRRORED)
        expect(same(twice, whole), "mirroring twice is not what there was before")
        expect(same(value, before, 0.0), "augment() changed the value that it was given")


def is_prepared(subject: Subject) -> None:
    """Rows for the tokenizer have its shape and are finite; those of a dense value come back as the value."""
    modality, codes = subject.modality, learnt(subject.modality)
    assert codes is not None
    for value in subject.values:
        rows = modality.prepare(value)
        layout = codes.layout
        match layout:
            case Dense(categorical=True):
                shape: tuple[int, ...] = (layout.side, layout.side)
            case Dense():
                shape = (layout.channels, layout.side, layout.side)
            case Vector():
                shape = (layout.channels,)
        wanted = np.int64 if isinstance(layout, Dense) and layout.categorical else np.float32
        expect(rows.shape[1:] == shape, f"prepare() gave rows of shape {rows.shape[1:]}, expected {shape}")
        expect(rows.dtype == wanted, f"prepare() gave {rows.dtype}, expected {np.dtype(wanted)}")
        expect(np.isfinite(rows).all(), "prepare() gave what is not finite")
        if not isinstance(modality, SequenceModality):
            expect(len(rows) == 1, f"prepare() gave {len(rows)} rows, expected one for a dense value")
            row = rows[0]
            logits = np.eye(codes.layout.channels, dtype=np.float32)[row].transpose(2, 0, 1) if wanted is np.int64 else row
            expect(same(modality.restore(logits), value, 0.01), "restore() does not give back what prepare() was given")


def is_spelled(subject: Subject) -> None:
    """A value's text is well-formed and is read the same way each time; the seed decides what is free."""
    modality = subject.modality
    assert isinstance(modality, SequenceModality)
    for value in subject.values:
        codes = subject.codes(value)
        texts = [modality.serialise(value, np.random.default_rng(1), codes) for _ in range(2)]
        expect(texts[0] == texts[1], "serialise() gave two texts with the same seed")
        parsed = modality.parse(texts[0])
        expect(parsed.well_formed or not texts[0], f"parse() finds its own text not well-formed: {texts[0][:80]!r}")
        expect(same(parsed.value, modality.parse(texts[0]).value, 0.0), "parse() gave two values of one text")
        _codes_survive(codes, parsed.codes)
    for garbage in ("", "v0=", "v0=5 v1=", texts[0][: len(texts[0]) // 2], "[S_1] [EOS] \x00 v3=9999 polygon human"):
        modality.parse(garbage)


def _codes_survive(given: NDArray[np.int64] | None, found: NDArray[np.int64] | None) -> None:
    expect((given is None) == (found is None), "parse() and the tokenizer differ on whether there are codes")
    if given is not None and found is not None:
        known = {tuple(row) for row in given.tolist()}
        expect(all(tuple(row) in known for row in found.tolist()), "parse() found codes that were not written")


def is_measured(subject: Subject) -> None:
    """Metrics are fresh each time, can be copied, and are best for what is right."""
    modality, values = subject.modality, subject.values
    measures, others = modality.metrics(), modality.metrics()
    expect(measures, "it has no metric")
    right = modality.batch(values)
    wrong = modality.batch([*values[1:], values[0]])
    for name, measure in measures.items():
        expect(name.isidentifier(), f"metric {name!r} is not an identifier")
        expect(measure.metric is not others[name].metric, f"metrics() gave the same {name} twice")
        expect(measure.unit, f"metric {name} has no unit")
        best = _score(copy.deepcopy(measure.metric), right, right)
        worse = _score(pickle.loads(pickle.dumps(measure.metric)), wrong, right)
        expect(math.isfinite(best), f"{name} of what is right is {best}")
        expect(not worse > best if measure.higher_is_better else not worse < best, f"{name}: {worse} beats {best}")
        if measure.unit == "share":
            ideal = 1.0 if measure.higher_is_better else 0.0
            expect(abs(best - ideal) < TOLERANCE, f"{name} of what is right is {best}, expected {ideal}")


def _score(metric: Any, predictions: Any, targets: Any) -> float:
    metric.update(predictions, targets)
    return float(metric.compute())


def is_typical(subject: Subject) -> None:
    """The constant guess is a legal value that the metrics take."""
    modality, values = subject.modality, subject.values
    guess = modality.typical(values)
    expect(not shape_problem(modality, guess), f"typical() gave {shape_problem(modality, guess)}")
    kinds = [getattr(value, "dtype", type(value)) for value in (guess, values[0])]
    expect(kinds[0] == kinds[1], f"typical() gave {kinds[0]}, expected {kinds[1]}")
    for measure in modality.metrics().values():
        _score(measure.metric, modality.batch([guess] * len(values)), modality.batch(values))


def is_drawn(subject: Subject) -> None:
    """A person gets a picture or a text."""
    for value in [*subject.values, subject.modality.typical(subject.values)]:
        drawn = subject.modality.draw(value)
        if isinstance(drawn, str):
            continue
        is_picture = drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3 and drawn.size > 0
        expect(is_picture, f"draw() gave {drawn.dtype} {drawn.shape}, expected uint8 (h, w, 3)")


CHECKS: dict[str, Callable[[Subject], None]] = {
    "name": is_named_well,
    "frozen": is_frozen,
    "agreement": agrees_with_itself,
    "scales": scales,
    "look": looks,
    "files": keeps_files,
    "augment": is_seen,
    "prepare": is_prepared,
    "text": is_spelled,
    "metrics": is_measured,
    "typical": is_typical,
    "draw": is_drawn,
}
"""The checks by name, in the order of their dependence."""


def _concerns(check: Callable[[Subject], None], modality: Modality) -> bool:
    """Whether a check is about this kind of modality at all."""
    if check is is_prepared:
        return learnt(modality) is not None
    if check is is_spelled:
        return isinstance(modality, SequenceModality)
    return True
