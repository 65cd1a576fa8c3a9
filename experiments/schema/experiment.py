"""An experiment in one record: the sections that live beside what they configure, a YAML file, and overrides."""

from dataclasses import dataclass, field

from evaluation.config import EvaluationConfig, RetrievalPair
from experiments.schema.resolutions import ResolutionConfig
from experiments.schema.sections import (
    DataConfig,
    ExecutorConfig,
    TokenizerTrainingConfig,
    TrackingConfig,
    TrainingConfig,
)
from lightning_modules.binding import BindingOptimConfig
from lightning_modules.optim import FourMOptimConfig, TokenizerOptimConfig
from modalities.errors import ConfigError
from modalities.layouts import ScaleConfig
from modalities.presets import BINDING_MODALITIES, IMAGE, PRESETS
from networks.binding.config import BindingConfig
from networks.fourm.config import FourMConfig
from networks.masking.mixtures import MaskingConfig
from networks.tokenizers.config import TokenizerConfig


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """The sets of modalities that are compared, the data, and how models are trained and measured."""

    name: str = "experiment"
    """Name of the experiment, and of its folder below `root`."""
    root: str = "runs"
    """Folder of all results."""
    arms: dict[str, list[str]] = field(
        default_factory=lambda: {"fourm_7": ["fourm_7"], "fourm_21": ["fourm_21"]}, metadata={"merge": "replace"}
    )
    """Lists of modalities to compare; a preset's name stands for its modalities."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Seeds of each arm: initialisation, sample order, masks."""
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    resolutions: dict[str, ResolutionConfig] = field(default_factory=dict)
    """Modalities at other resolutions, which arms can name: ``{rgb_32: {base: rgb, size: 32}}``."""
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    tokenizer_optim: TokenizerOptimConfig = field(default_factory=TokenizerOptimConfig)
    tokenizer_training: TokenizerTrainingConfig = field(default_factory=TokenizerTrainingConfig)
    model: FourMConfig = field(default_factory=FourMConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    optim: FourMOptimConfig = field(default_factory=FourMOptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    binding: BindingConfig = field(default_factory=BindingConfig)
    binding_optim: BindingOptimConfig = field(default_factory=BindingOptimConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if not self.arms or not self.seeds:
            raise ConfigError("An experiment needs at least one arm and one seed: set arms and seeds.")
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds must differ from each other, got {self.seeds}.")
        if min(self.seeds) < 0:
            raise ConfigError(f"seeds must be at least 0, got {self.seeds}.")
        if self.binding.enabled:
            self._check_binding()
        for name, values in self.arms.items():
            if not values:
                raise ConfigError(f"arms.{name} has no modality: name some, or a preset ({', '.join(PRESETS)}).")

    def _check_binding(self) -> None:
        names = self.binding_modalities
        lacking = [name for name in names if name not in self.all_modalities]
        if lacking:
            raise ConfigError(
                f"binding needs {', '.join(lacking)}, which no arm has: name others in binding.image or "
                "binding.modalities, or add them to an arm."
            )
        if len(names) < 2:
            raise ConfigError("binding.modalities: the arms have nothing that binding pairs with the image; name some.")

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        unused = {
            f"resolutions.{name}": f"no arm names {name}"
            for name in self.resolutions
            if name not in self.all_modalities
        }
        if not self.binding.enabled:
            unused["binding_optim"] = "binding.enabled=false trains no binding"
        devices = max(self.executor.devices, self.tokenizer_training.devices)
        if devices == 1 and self.executor.strategy != "auto":
            unused["executor.strategy"] = "executor.devices=1 and tokenizer_training.devices=1 need no strategy"
        return unused

    def arm_modalities(self, name: str) -> tuple[str, ...]:
        """The modalities of an arm, with presets expanded, each once."""
        names = [item for entry in self.arms[name] for item in PRESETS.get(entry, (entry,))]
        return tuple(dict.fromkeys(names))

    @property
    def all_modalities(self) -> tuple[str, ...]:
        """The modalities of all arms together."""
        return tuple(dict.fromkeys(item for name in self.arms for item in self.arm_modalities(name)))

    @property
    def tokens_per_step(self) -> int:
        """Slots of the encoder and the decoder in one optimizer step."""
        width = self.masking.num_inputs + self.masking.num_targets
        return width * self.training.batch_size * self.training.accumulate * self.executor.devices

    @property
    def num_steps(self) -> int:
        """Optimizer steps of a model."""
        return max(1, round(self.optim.total_tokens / self.tokens_per_step))

    @property
    def retrieval(self) -> list[RetrievalPair]:
        """The pairs that retrieval is measured on: the evaluation's, or with binding every pair of its modalities."""
        if self.evaluation.retrieval or not self.binding.enabled:
            return self.evaluation.retrieval
        names = self.binding_modalities
        return [RetrievalPair(query=[one], gallery=[other]) for one in names for other in names if one != other]

    @property
    def binding_modalities(self) -> tuple[str, ...]:
        """The image, and the modalities that are paired with it."""
        image = self.binding.image or IMAGE
        names = self.binding.modalities or [name for name in BINDING_MODALITIES if name in self.all_modalities]
        return (image, *(name for name in dict.fromkeys(names) if name != image))
