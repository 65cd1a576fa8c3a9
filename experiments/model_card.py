"""What a trained model's folder says about it: the card, and the modalities that are not the installed ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.data_source import describe_data, open_data_source
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.resolutions import modality_variant
from modalities.spec import Modality, Provenance
from modalities.storage.serialization import to_plain
from modalities.variants import ModalityVariant


def model_card(
    config: ExperimentConfig,
    modalities: Mapping[str, Modality],
    *,
    arm: str,
    seed: int,
    num_parameters: int,
    tokens_seen: int,
    num_samples: int,
) -> dict[str, Any]:
    """The card of a model, in terms of JSON.

    ``data_settings`` are the settings that choose the training data, by which `fourm evaluate` finds its test samples.
    """
    return {
        "arm": arm,
        "seed": seed,
        "parameters": num_parameters,
        "tokens_seen": tokens_seen,
        "steps": config.num_steps,
        "data": describe_data(config, modalities, str(num_samples)),
        "data_license": open_data_source(config.data, modalities).license,
        "data_settings": to_plain(config.data),
        "proxies": [name for name in config.arm_modalities(arm) if modalities[name].provenance is Provenance.proxy],
    }


def model_variants(
    config: ExperimentConfig, modalities: Mapping[str, Modality], names: Sequence[str]
) -> dict[str, ModalityVariant]:
    """The modalities among ``names`` that have a resolution or classes of their own."""
    bases, classes = {name: modalities[name].base or name for name in names}, config.data.classes
    return {
        name: modality_variant(base, modalities[name], has_own_classes=base in classes)
        for name, base in bases.items()
        if base in classes or name in config.resolutions
    }
