"""Modalities: what there are, and what an author of a further one needs.

Importing this loads no network code and no modality; the kinds of modality, which need torch, are loaded when first
read from here.
"""

import importlib
from typing import TYPE_CHECKING, Any

from modalities.errors import (
    BrokenPluginError,
    CheckpointError,
    ConfigError,
    DataError,
    DuplicateNameError,
    UnknownNameError,
    UserError,
)
from modalities.layouts import Dense, Embeddings, KeepScheme, Layout, ScaleConfig, Text, Vector
from modalities.presets import FOURM_7, FOURM_21, PRESETS
from modalities.registry import ENTRY_POINT_GROUP, PluginProvider, Registry, default_registry
from modalities.spec import (
    Crop,
    Modality,
    Provenance,
    SequenceModality,
    center_crop,
    learned_tokenizer,
    tokenizer_tasks,
)
from modalities.tokenizer_specs import (
    UNLABELLED,
    EmbeddedCodes,
    NoTokenizer,
    ProductMLP,
    ReconstructionLoss,
    TokenizerSpec,
    TokenizerTask,
    ViTVQ,
    WordPiece,
)
from modalities.values import Parsed, ValueSpec

if TYPE_CHECKING:
    from modalities.conformance.check import assert_conforms
    from modalities.kinds.dense import ArrayModality, ImageModality
    from modalities.kinds.discrete import ClassMap, EdgeMap
    from modalities.kinds.features import FeatureMap, FeatureVector
    from modalities.kinds.metadata import Metadata, MetadataField
    from modalities.kinds.sequences import FreeTextModality, RecordModality, TokenReader
    from modalities.sources.scenes import scene_values

_LAZY = {
    "assert_conforms": "modalities.conformance.check",
    "ArrayModality": "modalities.kinds.dense",
    "ClassMap": "modalities.kinds.discrete",
    "EdgeMap": "modalities.kinds.discrete",
    "ImageModality": "modalities.kinds.dense",
    "FeatureMap": "modalities.kinds.features",
    "FeatureVector": "modalities.kinds.features",
    "Metadata": "modalities.kinds.metadata",
    "MetadataField": "modalities.kinds.metadata",
    "FreeTextModality": "modalities.kinds.sequences",
    "RecordModality": "modalities.kinds.sequences",
    "TokenReader": "modalities.kinds.sequences",
    "scene_values": "modalities.sources.scenes",
}
"""Names that are imported when they are first read, and their modules."""

__all__ = [
    "ENTRY_POINT_GROUP",
    "FOURM_7",
    "FOURM_21",
    "PRESETS",
    "UNLABELLED",
    "ArrayModality",
    "BrokenPluginError",
    "CheckpointError",
    "ClassMap",
    "ConfigError",
    "Crop",
    "DataError",
    "Dense",
    "DuplicateNameError",
    "EdgeMap",
    "EmbeddedCodes",
    "Embeddings",
    "FeatureMap",
    "FeatureVector",
    "FreeTextModality",
    "ImageModality",
    "KeepScheme",
    "Layout",
    "Metadata",
    "MetadataField",
    "Modality",
    "NoTokenizer",
    "Parsed",
    "PluginProvider",
    "ProductMLP",
    "Provenance",
    "ReconstructionLoss",
    "RecordModality",
    "Registry",
    "ScaleConfig",
    "SequenceModality",
    "Text",
    "TokenReader",
    "TokenizerSpec",
    "TokenizerTask",
    "UnknownNameError",
    "UserError",
    "ValueSpec",
    "Vector",
    "ViTVQ",
    "WordPiece",
    "assert_conforms",
    "center_crop",
    "default_registry",
    "learned_tokenizer",
    "scene_values",
    "tokenizer_tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
