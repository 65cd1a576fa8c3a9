"""An experiment in one record: the sections that live beside what they configure, a YAML file, and overrides."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from evaluation.config import EvaluationConfig
from experiments.resolutions import ResolutionConfig
from lightning_modules.optim import OptimConfig
from lightning_modules.records import from_plain
from lightning_modules.tokenizer import TokenizerOptimConfig
from modalities.errors import ConfigError, UnknownNameError
from modalities.presets import PRESETS
from modalities.registry import Registry
from modalities.spec import Modality, Scale
from networks.fourm_config import FourMConfig
from networks.masking import MaskingConfig
from networks.tokenizers.config import TokenizerConfig

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the shipped configs."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How much of the embedded world is rendered."""

    train: int = 100_000
    """Training scenes."""
    validation: int = 1_000
    """Held-out scenes, on which everything is measured."""
    shard: int = 512
    """Scenes in one shard: the unit of work and of resuming."""

    def __post_init__(self) -> None:
        for name in ("train", "validation", "shard"):
            if getattr(self, name) < 1:
                raise ConfigError(f"data.{name} must be at least 1, got {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainingConfig:
    """How each tokenizer is trained."""

    batch_size: int = 256
    max_rows: int = 100_000
    """Most training values a tokenizer keeps in memory."""
    val_rows: int = 1_000
    """Held-out values that its codebook's use is measured on."""
    devices: int = 1
    """Devices that one tokenizer trains on."""
    steps: dict[str, int] = field(default_factory=dict)
    """Optimizer steps of single tokenizers, by name, in place of `tokenizer_optim.steps`."""
    precision: str = "32-true"
    """Lightning's name of the arithmetic."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the 4M model is trained, beside the optimizer. Its length is `optim.total_tokens`."""

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
    pictures_of: list[str] = field(default_factory=lambda: ["depth", "normals", "semseg"])
    """What those pictures show, where the arm has it."""
    cut_heads: bool = True
    """Heads of sequences choose among the ids that occur in their training data only."""
    start_from: str | None = None
    """Folder of a model whose weights, text tokenizer and fitting tokenizers are where training begins."""
    shared_text: bool = True
    """One table of tokens for all sequences; false gives each its own, as published models have."""
    precision: str = "32-true"
    """Lightning's name of the arithmetic: bf16-mixed on GPUs."""
    compile: bool = False
    """Compile the transformer blocks with torch.compile; pays on GPUs only."""
    num_workers: int = 0
    """Loader processes."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints that an interrupted training, a tokenizer's too, goes on from; 0 writes none."""


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where stages run."""

    workers: int = 1
    """Stages at once, each in a process of its own; 0 runs them in this process."""
    threads: int = 0
    """Threads of each; 0 shares the cores out evenly."""
    accelerator: str = "auto"
    """Lightning's name of the device: cpu, gpu, auto."""
    devices: int = 1
    """Devices that one model trains on."""
    strategy: str = "auto"
    """Lightning's name of the strategy: auto, ddp."""


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """The ledger."""

    uri: str | None = None
    """MLflow's tracking URI; None is a database below `root`, and `none` is no ledger: nothing of MLflow is needed."""
    experiment: str = "fourm-lab"


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Which sets of modalities are compared, on what, how."""

    name: str = "experiment"
    root: str = "runs"
    """Folder of everything that is made."""
    arms: dict[str, list[str]] = field(default_factory=lambda: {"fourm_7": ["fourm_7"], "fourm_21": ["fourm_21"]})
    """Lists of modalities to compare; a preset's name stands for its modalities."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Seeds of each arm: initialisation, sample order, masks."""
    scale: Scale = field(default_factory=Scale)
    resolutions: dict[str, ResolutionConfig] = field(default_factory=dict)
    """Modalities at other resolutions, for arms to name, as ``{rgb_32: {base: rgb, size: 32}}``."""
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    tokenizer_optim: TokenizerOptimConfig = field(default_factory=TokenizerOptimConfig)
    tokenizer_training: TokenizerTrainingConfig = field(default_factory=TokenizerTrainingConfig)
    model: FourMConfig = field(default_factory=FourMConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if not self.arms or not self.seeds:
            raise ConfigError("An experiment needs at least one arm and one seed: set arms and seeds.")
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds must differ from each other, got {self.seeds}.")
        if not (minutes := self.training.checkpoint_minutes) >= 0:
            raise ConfigError(f"training.checkpoint_minutes must be at least 0, got {minutes}.")

    def arm(self, name: str) -> tuple[str, ...]:
        """The modalities of an arm, presets spelled out, each once."""
        names = [item for entry in self.arms[name] for item in PRESETS.get(entry, (entry,))]
        return tuple(dict.fromkeys(names))

    @property
    def every_modality(self) -> tuple[str, ...]:
        """The modalities of all arms together."""
        return tuple(dict.fromkeys(item for name in self.arms for item in self.arm(name)))

    @property
    def tokens_per_step(self) -> int:
        """Slots of the encoder and the decoder in one optimizer step."""
        width = self.masking.num_inputs + self.masking.num_targets
        return width * self.training.batch_size * self.training.accumulate * self.executor.devices

    @property
    def steps(self) -> int:
        """Optimizer steps of a model."""
        return max(1, round(self.optim.total_tokens / self.tokens_per_step))


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The experiment of a YAML file, with ``key=value`` overrides.

    Raises:
        ConfigError: A key is unknown, or a value is of the wrong type or out of range.
    """
    merged = OmegaConf.structured(ExperimentConfig)
    # Arms are replaced, not merged into the default ones.
    sources: list[tuple[str, Any]] = [(str(path), _read(path))] if path else []
    sources.append(("the command line", _dotlist(overrides)))
    for place, given in sources:
        for section, key in (("", "arms"), ("evaluation", "routes"), ("evaluation", "probes")):
            if OmegaConf.select(given, f"{section}.{key}" if section else key) is not None:
                node = merged[section] if section else merged
                with read_write(node):
                    node[key] = {}
        try:
            merged = OmegaConf.merge(merged, given)
        except ConfigKeyError as error:
            raise ConfigError(_unknown_key(error, place)) from None
        except OmegaConfBaseException as error:
            first = str(error).strip().splitlines()[0]
            raise ConfigError(f"{place}: {error.full_key or 'value'}: {first}.") from None
    try:
        return from_plain(ExperimentConfig, OmegaConf.to_container(merged, resolve=True, enum_to_str=True))
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(str(error).strip().splitlines()[0]) from None


def find_config(name: str) -> Path:
    """The file that ``name`` means: a path, or the name of a shipped config.

    Raises:
        ConfigError: There is none.
    """
    for path in (Path(name), CONFIGS / f"{name}.yaml", CONFIGS / name):
        if path.is_file():
            return path
    shipped = [path.stem for path in CONFIGS.glob("*.yaml")]
    raise ConfigError(str(UnknownNameError("config", name, shipped)))


def modalities_of(config: ExperimentConfig, registry: Registry) -> dict[str, Modality]:
    """Every modality of every arm, at the experiment's scale.

    Raises:
        UnknownNameError: An arm names a modality that is neither installed nor built in.
    """
    return {
        name: config.resolutions[name].modality(name, registry, config.scale)
        if name in config.resolutions
        else registry[name].at(config.scale)
        for name in config.every_modality
    }


def describe(kind: type = ExperimentConfig, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every setting as (key, default, meaning), for ``--help``."""
    docs = field_docs(kind)
    rows: list[tuple[str, str, str]] = []
    empty = kind()
    for item in fields(kind):
        value = getattr(empty, item.name)
        if is_dataclass(value):
            rows += describe(type(value), f"{prefix}{item.name}.")
        else:
            rows.append((prefix + item.name, str(getattr(value, "value", value)), docs.get(item.name, "")))
    return rows


def field_docs(kind: type) -> dict[str, str]:
    """The sentence below each field of a dataclass, from its source."""
    import ast
    import inspect
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    for first, second in zip(body.body, body.body[1:], strict=False):
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name) and isinstance(second, ast.Expr):
            docs[first.target.id] = " ".join(str(ast.literal_eval(second.value)).split())
    return docs


def _read(path: Path) -> Any:
    try:
        return OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"There is no config file {path}.") from None
    except Exception as error:
        raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error


def _dotlist(overrides: Sequence[str]) -> DictConfig:
    for item in overrides:
        if "=" not in item:
            raise ConfigError(f"Override {item!r} is not of the form key=value.")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except Exception as error:
        raise ConfigError(f"The overrides cannot be read: {str(error).splitlines()[0]}.") from error


def _unknown_key(error: ConfigKeyError, place: str) -> str:
    key = str(error.full_key)
    known = [row[0] for row in describe()] + [item.name for item in fields(ExperimentConfig)]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{place}: no setting is called {key!r}.{hint} `fourm settings` lists them all."


def plain_values(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config as flat ``section.key`` values, for a ledger."""
    flat: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            flat.update(plain_values(value, f"{prefix}{item.name}."))
        else:
            flat[prefix + item.name] = getattr(value, "value", value)
    return flat
