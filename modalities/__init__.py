"""What modalities there are. Importing this loads no network code and no modality."""

from modalities.errors import (
    BrokenPluginError,
    CheckpointError,
    ConfigError,
    DataError,
    DuplicateModalityError,
    UnknownNameError,
    UserError,
)
from modalities.layouts import Dense, Embeddings, KeepScheme, Layout, Scale, Text, Vector
from modalities.presets import FOURM_7, FOURM_21, PRESETS
from modalities.registry import ENTRY_POINT_GROUP, ModalityProvider, Registry, default_registry
from modalities.spec import (
    Crop,
    Modality,
    Parsed,
    Provenance,
    SequenceModality,
    center_crop,
    learned_tokenizer,
    tokenizer_tasks,
)
from modalities.tokenizer_specs import (
    EmbeddedCodes,
    NoTokenizer,
    ProductMLP,
    ReconstructionLoss,
    TokenizerSpec,
    TokenizerTask,
    ViTVQ,
    WordPiece,
)

__all__ = [
    "ENTRY_POINT_GROUP",
    "FOURM_7",
    "FOURM_21",
    "PRESETS",
    "BrokenPluginError",
    "CheckpointError",
    "ConfigError",
    "Crop",
    "DataError",
    "Dense",
    "DuplicateModalityError",
    "EmbeddedCodes",
    "Embeddings",
    "KeepScheme",
    "Layout",
    "Modality",
    "ModalityProvider",
    "NoTokenizer",
    "Parsed",
    "ProductMLP",
    "Provenance",
    "ReconstructionLoss",
    "Registry",
    "Scale",
    "SequenceModality",
    "Text",
    "TokenizerSpec",
    "TokenizerTask",
    "UnknownNameError",
    "UserError",
    "Vector",
    "ViTVQ",
    "WordPiece",
    "center_crop",
    "default_registry",
    "learned_tokenizer",
    "tokenizer_tasks",
]
