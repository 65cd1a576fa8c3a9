"""Stage kind ``data``: one shard of raw values of all modalities."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from experiments.data_source import check_source, open_data_source, split_sizes
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext, user_log
from experiments.stages.plan import ModalityPart, Stage
from lightning_modules.data.raw import write_shard
from modalities.sources.base import Source, module_digest
from modalities.spec import Modality
from modalities.storage.serialization import to_plain


class DataStage(StageKind):
    """Writes the raw values of one shard of samples."""

    kind = "data"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one stage a shard; every modality is a part of its own."""
        config = context.config.data
        source = open_data_source(config, context.modalities)
        for line in check_source(source, context.modalities):
            user_log.warning("%s", line)
        parts = {name: ModalityPart(params=_params(item, source)) for name, item in context.modalities.items()}
        for split, count in split_sizes(config, source).items():
            for shard, first in enumerate(range(0, count, config.shard)):
                end = min(first + config.shard, count)
                yield self.stage(
                    f"data/{split}/{shard:04d}",
                    {"split": split, "numbers": [first, end]},
                    parts=parts,
                    run_args={"split": split, "first": first, "end": end},
                    cost=2.5e-4 * (end - first) * len(context.modalities),
                )

    def run(self, context: StageContext) -> None:
        """Read the samples from the source and write their values."""
        run_args = context.stage.run_args
        write_shard(
            context.folder,
            context.modalities,
            open_data_source(context.config.data, context.modalities),
            run_args["split"],
            range(run_args["first"], run_args["end"]),
            lambda done: context.report_progress(done, 0.0, "samples"),
        )


def _params(modality: Modality, source: Source) -> list[Any]:
    """Everything that decides the values of one modality, in terms of JSON."""
    kind = type(modality)
    # How it is generated and what it is called for short decide no value.
    facts = to_plain(replace(modality, decoding=None, aliases=()))
    return [kind.__qualname__, facts, *plugin_file_hashes(kind), source.fingerprint(modality)]


def plugin_file_hashes(modality: type) -> list[str]:
    """Hash each file that defines classes of a plug-in's modality, so that an edited one makes new results.

    Changes of this package's own modalities are distinguished by the versions of the stage kinds.
    """
    modules = sorted({kind.__module__ for kind in modality.__mro__})
    return [digest for digest in map(module_digest, modules) if digest]
