"""Adapters between published checkpoints and our networks, one for each kind of model.

A checkpoint is a config and named tensors; files are read and written by `lightning_modules.checkpoints`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modalities.tokenizer_specs import ReconstructionLoss, TokenizerTask
from networks.fourm.config import FourMConfig
from networks.fourm.model import FourM
from networks.pretrained.fourm_layout import read_layout
from networks.pretrained.fourm_weights import export_config, export_fourm, load_fourm
from networks.pretrained.source import InMemoryTensors, TensorSource
from networks.pretrained.tokenizer_layout import read_tokenizer_layout
from networks.pretrained.tokenizer_weights import export_tokenizer, export_tokenizer_config, import_tokenizer
from networks.streams import Stream
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class FourMAdapter:
    """A 4M model of known streams and config, in the published format."""

    streams: tuple[Stream, ...]
    config: FourMConfig

    @staticmethod
    def accepts(config: Mapping[str, Any]) -> bool:
        """True for the config of a published 4M model."""
        return "domains_in" in config and "domains_out" in config

    @classmethod
    def read(cls, config: Mapping[str, Any], tensors: TensorSource) -> "FourMAdapter":
        """The adapter for a checkpoint of the published code.

        Raises:
            CheckpointError: The config has a setting that is not supported, or a tensor is missing.
        """
        streams, own_config = read_layout(config, tensors)
        return cls(streams=streams, config=own_config)

    def from_published(self, tensors: TensorSource) -> FourM:
        """The model with a checkpoint's weights.

        Raises:
            CheckpointError: A tensor is missing, unknown or of another shape; the message names it.
        """
        return load_fourm(self.streams, self.config, tensors)

    @staticmethod
    def to_published(model: FourM) -> tuple[dict[str, object], InMemoryTensors]:
        """Config and tensors of a model.

        Raises:
            CheckpointError: The format cannot hold the model; the message says why.
        """
        return export_config(model), export_fourm(model)


@dataclass(frozen=True, kw_only=True)
class TokenizerAdapter:
    """A tokenizer of known task and config, in the published format."""

    task: TokenizerTask
    config: TokenizerConfig

    @staticmethod
    def accepts(config: Mapping[str, Any]) -> bool:
        """True for the config of a published tokenizer."""
        return "codebook_size" in config and "latent_dim" in config

    @classmethod
    def read(
        cls, config: Mapping[str, Any], tensors: TensorSource, name: str, loss: ReconstructionLoss | None = None
    ) -> "TokenizerAdapter":
        """The adapter for a checkpoint of the published code.

        Args:
            name: Name of the tokenizer here.
            loss: The loss it was trained with, which the checkpoint lacks; None for the usual one of its kind.

        Raises:
            CheckpointError: The config has a setting that is not supported, or a tensor is missing.
        """
        task, own_config = read_tokenizer_layout(config, tensors, name, loss)
        return cls(task=task, config=own_config)

    def from_published(self, tensors: TensorSource) -> Tokenizer:
        """The tokenizer with a checkpoint's weights.

        Raises:
            CheckpointError: A tensor is missing, unknown or of another shape; the message names it.
        """
        return import_tokenizer(self.task, self.config, tensors)

    def to_published(self, tokenizer: Tokenizer) -> tuple[dict[str, object], InMemoryTensors]:
        """Config and tensors of a tokenizer.

        Raises:
            CheckpointError: The format cannot hold the tokenizer; the message says why.
        """
        tensors = export_tokenizer(tokenizer, self.task, self.config)
        return export_tokenizer_config(self.task, self.config), tensors
