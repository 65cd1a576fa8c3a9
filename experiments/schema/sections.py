"""The sections of an experiment's settings that are not a layer's own: data, training, execution, tracking."""

from dataclasses import dataclass, field
from typing import Any

from modalities.errors import ConfigError
from modalities.presets import PICTURE_TARGETS
from modalities.sources.config import SourceConfig
from modalities.sources.crops import CropConfig

PRECISIONS = (
    "16-mixed",
    "16-true",
    "32-true",
    "64-true",
    "bf16-mixed",
    "bf16-true",
    "transformer-engine",
    "transformer-engine-float16",
)
"""Precisions, as Lightning names them."""

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
"""Lightning's names of devices."""

STRATEGIES = ("auto", "ddp")
"""Lightning's names of the strategies that stages can train with; auto is ddp on several devices."""


RAISE, SKIP, QUARANTINE = ON_ERROR = ("raise", "skip", "quarantine")
"""What becomes of a sample whose value cannot be read: `data.on_error`."""

NO_TRACKING = "none"
"""`tracking.uri` of a run that nothing is tracked of."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Samples that are taken from the data source."""

    source: SourceConfig = field(default_factory=SourceConfig)
    train: int | None = 100_000
    """Training samples, each crop counted; null for all of the source."""
    validation: int | None = 1_000
    """Held-out samples, on which everything is measured; null for all of the source."""
    shard: int = 512
    """Samples in one shard: the unit of work and of resuming."""
    on_error: str = RAISE
    """What becomes of a sample whose value cannot be read: raise, skip, or quarantine, which also lists it."""
    max_errors: float = 0.01
    """Samples that may be left out of a split: a share of them below 1, else a number."""
    crops: CropConfig = field(default_factory=CropConfig)
    classes: dict[str, str] = field(default_factory=dict, metadata={"merge": "replace"})
    """Files of class names by modality, ``{semseg: classes.txt}``: a name a line, in the data's folder or elsewhere."""

    def __post_init__(self) -> None:
        _check_at_least(1, "data", self, "shard")
        _check_at_least(1, "data", self, *(name for name in ("train", "validation") if getattr(self, name) is not None))
        _check_at_least(0, "data", self, "max_errors")
        _check_choice("data.on_error", self.on_error, ON_ERROR)

    def error_limit(self, count: int) -> int:
        """Samples that may be left out of ``count``."""
        return int(self.max_errors * count if self.max_errors < 1 else self.max_errors)

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        return {"max_errors": "data.on_error=raise leaves nothing out"} if self.on_error == RAISE else {}


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainingConfig:
    """Training of each tokenizer."""

    batch_size: int = 256
    """Values per process and step."""
    max_rows: int = 100_000
    """Training values that a tokenizer is trained on, at most; they are read as they are needed."""
    val_rows: int = 1_000
    """Held-out values on which the use of its codebook is measured, at most."""
    devices: int = 1
    """Devices that one tokenizer trains on."""
    steps: dict[str, int] = field(default_factory=dict)
    """Optimizer steps of single tokenizers, by name, in place of `tokenizer_optim.steps`."""
    precision: str = "32-true"
    """Precision, as Lightning names it: bf16-mixed on GPUs."""
    num_workers: int = 0
    """Loader processes; 0 reads in a thread of the training process."""

    def __post_init__(self) -> None:
        _check_at_least(0, "tokenizer_training", self, "num_workers")
        _check_at_least(1, "tokenizer_training", self, "batch_size", "max_rows", "val_rows", "devices")
        _check_choice("tokenizer_training.precision", self.precision, PRECISIONS)
        for name, steps in self.steps.items():
            if steps < 1:
                raise ConfigError(f"tokenizer_training.steps.{name} must be at least 1, got {steps}.")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training of the 4M model, beside the optimizer. Its length is `optim.total_tokens`."""

    batch_size: int = 128
    """Samples per process and step."""
    accumulate: int = 1
    """Batches per optimizer step."""
    val_every: int = 1_000
    """Steps between validations."""
    val_batches: int = 16
    """Validation batches, the same ones with the same masks each time."""
    log_every: int = 50
    """Steps between logged metrics."""
    pictures_every: int = 0
    """Steps between pictures of validation predictions; 0 for none but the last."""
    pictures_of: list[str] = field(default_factory=lambda: list(PICTURE_TARGETS))
    """Modalities that those pictures show; those that an arm lacks are left out."""
    start_from: str | None = None
    """Folder of a model to start from: its weights, its text tokenizer and its tokenizers of equal tasks."""
    precision: str = "32-true"
    """Precision, as Lightning names it: bf16-mixed on GPUs."""
    compile: bool = False
    """Compile the transformer blocks with torch.compile; pays on GPUs only."""
    num_workers: int = 0
    """Loader processes; 0 makes batches in a thread of the training process."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints, from which an interrupted training of a model or tokenizer resumes; 0 for none."""

    def __post_init__(self) -> None:
        _check_at_least(1, "training", self, "batch_size", "accumulate", "val_every", "val_batches", "log_every")
        _check_at_least(0, "training", self, "pictures_every", "num_workers", "checkpoint_minutes")
        _check_choice("training.precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Processes, threads and devices that stages run on."""

    workers: int = 1
    """Stages that run at once, each in a process of its own; 0 runs them in this process."""
    threads: int = 0
    """Threads of each; 0 divides the cores evenly."""
    accelerator: str = "auto"
    """Kind of device, as Lightning names it: auto, cpu, gpu."""
    devices: int = 1
    """Devices that one model trains on."""
    strategy: str = "auto"
    """Strategy on several devices, as Lightning names it: auto, ddp."""

    def __post_init__(self) -> None:
        _check_at_least(1, "executor", self, "devices")
        _check_at_least(0, "executor", self, "workers", "threads")
        _check_choice("executor.accelerator", self.accelerator, ACCELERATORS)
        _check_choice("executor.strategy", self.strategy, STRATEGIES)


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Experiment tracking."""

    uri: str | None = None
    """MLflow's tracking URI; None is a database below `root`, and `none` disables tracking: MLflow is not needed."""
    experiment: str = "fourm-lab"
    """MLflow's name of the experiment that holds the runs."""

    def unused_settings(self) -> dict[str, str]:
        """Settings without effect, and what overrides them."""
        return {"experiment": "tracking.uri=none tracks nothing"} if self.uri == NO_TRACKING else {}


def _check_at_least(minimum: int, section: str, config: Any, *names: str) -> None:
    for name in names:
        # Not a number is not at least anything.
        if not (value := getattr(config, name)) >= minimum:
            raise ConfigError(f"{section}.{name} must be at least {minimum}, got {value}.")


def _check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{setting} must be one of {', '.join(choices)}, got {value!r}.")
