"""The contract of a stage kind: how it is planned, how it runs, and what of its result the tracker keeps."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from experiments.schema.experiment import ExperimentConfig
from experiments.stages.context import StageContext
from experiments.stages.inputs import required_tokenizers
from experiments.stages.plan import Stage
from lightning_modules.checkpoints.warm_start import WarmStart
from modalities.spec import Modality, SequenceModality
from modalities.storage.serialization import to_plain


@dataclass(frozen=True, kw_only=True)
class PlanContext:
    """The settings that a stage kind plans from, and the stages that the kinds before it have planned."""

    config: ExperimentConfig
    modalities: Mapping[str, Modality]
    """Of all arms, at the run's scale."""
    warm_start: WarmStart | None = None
    """The model folder that training starts from."""
    command: str = ""
    """The command that started the run, for the report."""
    stages: tuple[Stage, ...] = ()

    def params(self, *fields: str) -> dict[str, Any]:
        """The given fields of the config, in terms of JSON."""
        return {name: to_plain(getattr(self.config, name)) for name in fields}

    def names(self, *prefixes: str) -> tuple[str, ...]:
        """Names of the planned stages that equal a prefix or lie below it, such as ``data`` or ``tokens/train``."""
        return tuple(
            stage.name
            for stage in self.stages
            if any(stage.name == prefix or stage.name.startswith(f"{prefix}/") for prefix in prefixes)
        )

    def tokenizer_names(self, modalities: Sequence[str]) -> tuple[str, ...]:
        """Names of the stages that make the tokenizers of some modalities, the text tokenizer's first."""
        text = ["text"] if any(isinstance(self.modalities[name], SequenceModality) for name in modalities) else []
        return (*text, *(f"tokenizer/{name}" for name in required_tokenizers(self.modalities, modalities)))

    def arm_seeds(self) -> list[tuple[str, int]]:
        """Every arm with every seed, seed by seed."""
        return [(arm, seed) for seed in self.config.seeds for arm in self.config.arms]


class StageKind(ABC):
    """One kind of stage. A subclass in its own file is everything that the platform knows about the kind."""

    kind: ClassVar[str]
    """Name of the kind; stages are called ``kind`` or ``kind/...``."""
    version: ClassVar[int] = 1
    """Raised when the code changes the result, so that results of the older code are not reused."""
    artifacts: ClassVar[tuple[str, ...]] = ()
    """Files of the result that the tracker keeps."""
    artifact_folder: ClassVar[str] = ""
    """Folder of the tracker's run that holds the artifacts; empty for its root."""
    is_tracked: ClassVar[bool] = True
    """True if each stage of the kind is a run of the tracker."""

    @abstractmethod
    def plan(self, context: PlanContext) -> Iterable[Stage]:
        """Plan the stages of this kind."""

    @abstractmethod
    def run(self, context: StageContext) -> None:
        """Compute one stage and write its result into ``context.folder``."""

    def devices(self, config: ExperimentConfig) -> int:
        """Devices that one stage trains on, each with a process of its own."""
        return 1

    def metrics(self, folder: Path) -> Mapping[str, float]:
        """Figures of a finished stage for the tracker, read from its folder."""
        return {}

    def pictures(self, folder: Path) -> Sequence[Path]:
        """Pictures of a finished stage for the tracker."""
        return ()

    def stage(self, name: str, params: Mapping[str, Any], **fields: Any) -> Stage:
        """Make a stage of this kind and version."""
        return Stage(kind=self.kind, version=self.version, name=name, params=params, **fields)


class ShardedStageKind(StageKind):
    """A kind whose stages consist of work items, one a shard, which any process may do in any order.

    An item writes its result atomically beside the stages' folders, where it outlasts an interruption; one that is
    there already costs a look. `run` is called when all items are done, and writes the stage's folder.
    """

    is_tracked = False

    @abstractmethod
    def run_item(self, context: StageContext, item: int) -> None:
        """Do one item."""

    def may_omit_items(self, config: ExperimentConfig) -> bool:
        """True if the stage continues without an item that has failed twice."""
        return False
