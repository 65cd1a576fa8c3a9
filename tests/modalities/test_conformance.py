"""The conformance check: every modality there is passes it, and a breach of the contract fails the check it should."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torchmetrics import MeanSquaredError, MetricCollection

from modalities.builtin.bounding_boxes import BoundingBoxes
from modalities.builtin.depth import Depth
from modalities.conformance.check import CHECKS, assert_conforms, check_modality
from modalities.conformance.subject import values_equal
from modalities.errors import DataError
from modalities.kinds.discrete import ClassMap
from modalities.kinds.sequences import FreeTextModality
from modalities.labels import CLASSES
from modalities.layouts import Dense, ScaleConfig, Text, Vector
from modalities.metrics.base import collect
from modalities.metrics.maps import DepthRMSE
from modalities.registry import default_registry
from modalities.sources.scenes import scene_values
from modalities.spec import Crop, Modality, learned_tokenizer
from modalities.tokenizer_specs import EmbeddedCodes, ReconstructionLoss, ViTVQ, WordPiece
from modalities.values import ValueSpec

REGISTRY = default_registry()
SCALE = ScaleConfig(size=64, patch=8, max_channels=32, max_vocab=512)
DEPTH, BOXES, SEMSEG, INSTANCES = (
    REGISTRY[name].scaled(SCALE) for name in ("depth", "bounding_boxes", "semseg", "sam_instances")
)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_modality_keeps_its_contract(name: str) -> None:
    modality = REGISTRY[name].scaled(SCALE)
    assert_conforms(modality, scene_values(modality))


@dataclass(frozen=True, kw_only=True)
class Forgetful(Depth):
    def read_file(self, path: Path) -> Any:
        return super().read_file(path) * np.float32(2)


@dataclass(frozen=True, kw_only=True)
class Careless(Depth):
    def read_file(self, path: Path) -> Any:
        return np.load(path)


@dataclass(frozen=True, kw_only=True)
class Littering(Depth):
    def write_file(self, path: Path, value: Any) -> None:
        super().write_file(path, value)
        path.with_suffix(".old").write_text("x")


@dataclass(frozen=True, kw_only=True)
class Unmirrored(Depth):
    def transform(self, value: Any, crop: Crop) -> Any:
        return np.roll(super().transform(value, replace(crop, flip=False)), 3 * crop.flip, axis=1)


@dataclass(frozen=True, kw_only=True)
class Invariant(Depth):
    @property
    def is_flip_invariant(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Narrow(Depth):
    def check(self, value: Any, origin: str) -> Any:
        if value.max() > 1:
            raise DataError(f"{origin} is deeper than a metre.")
        return super().check(value, origin)


@dataclass(frozen=True, kw_only=True)
class Centimetres(Depth):
    def check(self, value: Any, origin: str) -> Any:
        return super().check(value, origin) * np.float32(100)


@dataclass(frozen=True, kw_only=True)
class Nameless(Depth):
    @property
    def value_spec(self) -> ValueSpec:
        return ValueSpec(type="")


@dataclass(frozen=True, kw_only=True)
class Meddling(Depth):
    def transform(self, value: Any, crop: Crop) -> Any:
        value.setflags(write=True)
        value += 1
        return super().transform(value, crop)


@dataclass(frozen=True, kw_only=True)
class LastChannels(Depth):
    def preprocess(self, value: Any) -> NDArray[Any]:
        return np.moveaxis(super().preprocess(value), 1, -1)


@dataclass(frozen=True, kw_only=True)
class Lossy(Depth):
    def postprocess(self, row: Any) -> Any:
        return super().postprocess(row) * 0.5


SHARED = DEPTH.metrics()


@dataclass(frozen=True, kw_only=True)
class StaleMetrics(Depth):
    def metrics(self) -> MetricCollection:
        return SHARED


class UpwardRMSE(DepthRMSE):
    higher_is_better = True


@dataclass(frozen=True, kw_only=True)
class WrongWay(Depth):
    def metrics(self) -> MetricCollection:
        return collect(rmse=UpwardRMSE())


@dataclass(frozen=True, kw_only=True)
class NoMetrics(Depth):
    def metrics(self) -> MetricCollection:
        return collect()


@dataclass(frozen=True, kw_only=True)
class NoUnit(Depth):
    def metrics(self) -> MetricCollection:
        return collect(mse=MeanSquaredError())


@dataclass(frozen=True, kw_only=True)
class DoublePrecision(Depth):
    def constant_baseline(self, values: Sequence[Any]) -> Any:
        return super().constant_baseline(values).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Monochrome(Depth):
    def render(self, value: Any) -> Any:
        return super().render(value)[..., 0]


@dataclass(frozen=True, kw_only=True)
class FixedSize(Depth):
    def scaled(self, scale: ScaleConfig) -> Any:
        return self


@dataclass(frozen=True, kw_only=True)
class Cropping(Depth):
    def transform(self, value: Any, crop: Crop) -> Any:
        return made(Depth).transform(value, crop)


@dataclass(frozen=True, kw_only=True)
class Unmade(Depth):
    def scaled(self, scale: ScaleConfig) -> Any:
        raise RuntimeError("not yet")


@dataclass(frozen=True, kw_only=True)
class Raising(BoundingBoxes):
    def parse(self, text: str) -> Any:
        if not text:
            raise IndexError("no words")
        return super().parse(text)


@dataclass(frozen=True, kw_only=True)
class Fickle(BoundingBoxes):
    def serialize(self, value: Any, rng: Any, codes: Any = None) -> str:
        return super().serialize(value, rng, codes) + " v0="


@dataclass(frozen=True, kw_only=True)
class Unmarked(BoundingBoxes):
    def from_json(self, data: Any) -> Any:
        return super().from_json(data[1:])


@dataclass(frozen=True, kw_only=True)
class BeyondBins(BoundingBoxes):
    def serialize(self, value: Any, rng: Any, codes: Any = None) -> str:
        return super().serialize(value, rng, codes).replace("v0=", "v0=1")

    def parse(self, text: str) -> Any:
        return replace(super().parse(text.replace("v0=1", "v0=")), well_formed=True)


@dataclass(frozen=True, kw_only=True)
class BeyondClasses(ClassMap):
    def preprocess(self, value: Any) -> NDArray[Any]:
        return super().preprocess(value) + 9


def made(kind: Callable[..., Modality], like: Modality = DEPTH, **changes: Any) -> Modality:
    facts = {"name": like.name, "title": like.title, "layout": like.layout, "tokenizer": like.tokenizer}
    return kind(**{**facts, **changes})


def with_vocab(modality: Modality, vocab_size: int) -> EmbeddedCodes:
    codes = learned_tokenizer(modality)
    assert codes is not None
    return replace(codes, tokenizer=replace(codes.tokenizer, vocab_size=vocab_size))


BREACHES: list[tuple[Modality, str, str]] = [
    (replace(DEPTH, name="depth-map"), "name", "not a lower-case Python identifier"),
    (replace(DEPTH, name="class"), "name", "not a lower-case"),
    (replace(DEPTH, title=" "), "name", "title is empty"),
    (
        replace(DEPTH, layout=Vector(channels=4, num_tokens=2)),
        "consistency",
        "a ViTVQ tokenizer needs a Dense layout, found Vector",
    ),
    (replace(DEPTH, layout=Dense(channels=1, size=64, patch=15)), "consistency", "do not divide"),
    (
        replace(DEPTH, tokenizer=ViTVQ(name="d", vocab_size=9, loss=ReconstructionLoss.cross_entropy)),
        "consistency",
        "cross_entropy",
    ),
    (
        replace(DEPTH, tokenizer=ViTVQ(name="d", vocab_size=1, loss=ReconstructionLoss.mse)),
        "consistency",
        "codebook of 1",
    ),
    (made(FixedSize), "scaling", "left the size at 64, expected 48"),
    (made(Cropping), "scaling", "at 48 pixels transform() gave shape (64, 64), expected (48, 48)"),
    (made(Unmade), "scaling", "RuntimeError: not yet"),
    (replace(DEPTH, layout=Dense(channels=1, size=32, patch=8)), "values", "shape (64, 64), expected (32, 32)"),
    (made(Forgetful), "files", "does not give back"),
    (made(Careless), "files", "DataError"),
    (made(Littering), "files", "value.old"),
    (made(Unmirrored), "transform", "mirroring twice"),
    (made(Meddling), "transform", ""),
    (made(LastChannels), "preprocess", "rows of shape (64, 64, 1), expected (1, 64, 64)"),
    (made(Lossy), "preprocess", "postprocess() does not give back"),
    (made(StaleMetrics), "metrics", "the same rmse twice"),
    (made(Invariant), "transform", "is_flip_invariant is true, but mirroring changes the value"),
    (made(Narrow), "check", "check() refuses a sample value: value is deeper than a metre."),
    (made(Centimetres), "check", "check() changed a sample value"),
    (made(Nameless), "check", "value_spec names no type"),
    (made(WrongWay), "metrics", "beats"),
    (made(NoMetrics), "metrics", "no metric"),
    (made(NoUnit), "metrics", "the class of metric mse has no title"),
    (made(DoublePrecision), "constant_baseline", "float64, expected float32"),
    (made(Monochrome), "render", "expected uint8 (h, w, 3)"),
    (made(Raising, BOXES), "text", "IndexError: no words"),
    (made(Fickle, BOXES), "text", "not well-formed"),
    (made(Unmarked, BOXES), "json", "from_json() does not give back"),
    (made(BeyondBins, BOXES), "text", "which the text vocabulary does not have"),
    (made(BeyondClasses, SEMSEG, classes=CLASSES), "preprocess", "expected 0 to 12"),
    (
        replace(INSTANCES, tokenizer=WordPiece(codes=with_vocab(INSTANCES, 1513))),
        "consistency",
        "1513 codes inside a text, expected at most 1512",
    ),
    (
        replace(DEPTH, tokenizer=ViTVQ(name="d", vocab_size=(1 << 32) + 1, loss=ReconstructionLoss.mse)),
        "consistency",
        "expected at most 2^32",
    ),
]


def values_of(modality: Modality) -> list[Any]:
    """Values in scenes of 64 pixels, whatever the modality makes of itself."""
    like = next((item for item in (BOXES, INSTANCES, SEMSEG) if isinstance(modality, type(item))), DEPTH)
    return scene_values(like)


@pytest.mark.parametrize(("modality", "check", "message"), BREACHES, ids=lambda item: type(item).__name__)
def test_a_breach_fails_the_check_that_is_about_it(modality: Modality, check: str, message: str) -> None:
    failed = {
        result.name: result.message for result in check_modality(modality, values_of(modality)) if not result.passed
    }
    assert check in failed
    if message != "DataError":
        assert message in failed[check]
    with pytest.raises(AssertionError, match=rf"does not keep its contract:(.|\n)*{check}: "):
        assert_conforms(modality, values_of(modality))


def test_checks_are_named_and_those_that_do_not_concern_are_left_out() -> None:
    names = [result.name for result in check_modality(REGISTRY["caption"], ["a red ball", "a blue box"])]
    assert names == [name for name in CHECKS if name != "preprocess"]
    assert [result.name for result in check_modality(DEPTH, values_of(DEPTH))] == [
        name for name in CHECKS if name not in ("json", "text")
    ]


def test_values_of_a_data_set_do_where_no_scene_shows_the_modality() -> None:
    modality = FreeTextModality(name="recipe", title="Recipe", layout=Text(max_tokens=40), tokenizer=WordPiece())
    assert_conforms(modality, ["whisk two eggs", "boil the water on the left"])


def test_one_value_is_too_few() -> None:
    failed = [result for result in check_modality(DEPTH, values_of(DEPTH)[:1]) if not result.passed]
    assert [(result.name, result.message) for result in failed] == [("values", "1 sample values, expected two or more")]


@dataclass(frozen=True)
class Record:
    place: NDArray[np.float64]
    name: str


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (np.ones(3), np.ones(3) + 1e-5, True),
        (np.ones(3), np.ones(4), False),
        (np.array([np.nan]), np.array([np.nan]), True),
        ({"a": 1.0, "b": (1, 2)}, {"a": 1.00001, "b": (1, 2)}, True),
        ({"a": 1.0}, {"b": 1.0}, False),
        ("text", "text ", False),
        ((1, 2), (1, 2, 3), False),
        ((Record(np.ones(2), "x"),), (Record(np.ones(2), "x"),), True),
        ((Record(np.ones(2), "x"),), (Record(np.ones(2), "y"),), False),
        (float("nan"), float("nan"), True),
    ],
)
def test_values_are_compared_through_records_and_arrays(one: Any, other: Any, *, equal: bool) -> None:
    assert values_equal(one, other) is equal
