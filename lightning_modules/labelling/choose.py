"""From a modality and the name of a model to the labeller that fits both."""

from pathlib import Path

from lightning_modules.labelling.boxes import BoxExpert
from lightning_modules.labelling.depth import DepthExpert
from lightning_modules.labelling.expert import Expert
from lightning_modules.labelling.features import FeatureExpert
from lightning_modules.labelling.files.expert import file_labeller
from lightning_modules.labelling.instances import InstanceExpert
from lightning_modules.labelling.poses import PoseExpert
from lightning_modules.labelling.segmentation import OneFormerExpert, QuerySegmentationExpert, SegmentationExpert
from lightning_modules.labelling.texts import CaptionExpert, FlorenceCaptionExpert, TextEmbeddingExpert
from lightning_modules.labelling.weights import find_model, read_model_config, read_model_license
from modalities.errors import ConfigError
from modalities.labellers.base import Labeller
from modalities.spec import Modality

EXPERTS: tuple[type[Expert], ...] = (
    DepthExpert,
    SegmentationExpert,
    QuerySegmentationExpert,
    OneFormerExpert,
    BoxExpert,
    InstanceExpert,
    FeatureExpert,
    TextEmbeddingExpert,
    CaptionExpert,
    FlorenceCaptionExpert,
    PoseExpert,
)
"""Labellers by models of transformers."""


def expert_labeller(modality: Modality, model: str) -> Labeller:
    """The labeller of ``modality`` by a model of transformers, or by a file that a .yaml describes.

    Args:
        model: A folder, a name on the Hub, or a path ending in .yaml or .yml.

    Raises:
        UserError: The model cannot be found, or does not make such values.
    """
    if Path(model).suffix in (".yaml", ".yml"):
        return file_labeller(modality, Path(model))
    fitting = [expert for expert in EXPERTS if issubclass(type(modality), expert.kinds)]
    if not fitting:
        raise ConfigError(
            f"No model of transformers makes {modality.name!r} with a meaning that it states: describe an .onnx or "
            ".tflite file in a .yaml, or take a labeller of `fourm label --list`."
        )
    folder = find_model(model)
    config = read_model_config(folder)
    model_type = str(config.get("model_type", ""))
    known = {name: expert for expert in fitting for name in expert.model_types}
    if model_type not in known:
        raise ConfigError(
            f"{model} is a {model_type or 'model of no type'}, which does not make {modality.name}: expected one of "
            f"{', '.join(known)}."
        )
    expert = known[model_type]
    return expert.for_modality(
        modality,
        name=model_type,
        output=modality.name,
        inputs=expert.reads,
        license=read_model_license(folder),
        description=f"{(config.get('architectures') or [model_type])[0]} ({model})",
        model=model,
        folder=folder,
    )


def known_experts() -> dict[str, tuple[str, ...]]:
    """Types of models by the kind of modality that they make."""
    kinds = dict.fromkeys(kind for expert in EXPERTS for kind in expert.kinds)
    return {
        kind.__name__: tuple(name for expert in EXPERTS if kind in expert.kinds for name in expert.model_types)
        for kind in kinds
    }
