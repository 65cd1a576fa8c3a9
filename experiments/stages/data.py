"""Stage kind ``data``: the raw values of one split, all modalities."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from experiments.data_source import check_source, open_data_source, split_sizes
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.sections import QUARANTINE, RAISE
from experiments.shards import collect_shards, column_name, once_per_stage, shard_folder
from experiments.stages.base import PlanContext, ShardedStageKind
from experiments.stages.context import StageContext, user_log
from experiments.stages.plan import ModalityPart, Stage
from lightning_modules.data.raw import KEYS_FILE, write_samples
from lightning_modules.data.shards import MANIFEST
from modalities.sources.base import Source, module_digest, select_keys
from modalities.spec import Modality
from modalities.storage.serialization import to_plain


class DataStage(ShardedStageKind):
    """Writes the raw values of a split, shard by shard, each modality into a column of its own.

    A column's name has a hash of what decides its values, and a shard's name one of its keys: a modality more adds
    columns and touches no other.
    """

    kind = "data"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one stage a split; every modality is a part of its own."""
        config = context.config.data
        source = open_data_source(config, context.modalities)
        for line in check_source(source, context.modalities):
            user_log.warning("%s", line)
        parts = {name: ModalityPart(params=_params(item, source)) for name, item in context.modalities.items()}
        # Where unreadable samples are left out, each modality decides which samples there are of all others.
        all_params = {name: part.params for name, part in parts.items()} if config.on_error != RAISE else None
        for split, count in split_sizes(config, source).items():
            yield self.stage(
                f"data/{split}",
                {"split": split, "count": count, "shard": config.shard, "omits_errors_of": all_params},
                parts=parts,
                run_args={"split": split, "count": count},
                num_items=-(-count // config.shard),
                cost=2.5e-4 * count * len(context.modalities),
            )

    def run_item(self, context: StageContext, item: int) -> None:
        """Read the samples of one shard from the source, and write the columns that are missing."""
        config, keys, source = context.config.data, _keys(context, item), _source(context)
        folder, columns = shard_folder(context, item, keys), _columns(context)
        missing = {
            name: modality
            for name, modality in context.modalities.items()
            if not (folder / columns[name] / MANIFEST).is_file()
        }
        if not missing and (folder / KEYS_FILE).is_file():
            return
        write_samples(
            folder,
            missing,
            source,
            keys,
            column_names=columns,
            max_errors=0 if config.on_error == RAISE else config.error_limit(context.stage.run_args["count"]),
            progress=lambda done: context.report_progress(done, 0.0, "samples"),
        )

    def may_omit_items(self, config: ExperimentConfig) -> bool:
        """True unless `data.on_error` is raise."""
        return config.data.on_error != RAISE

    def run(self, context: StageContext) -> None:
        """Collect the shards, and leave out the samples that cannot be read.

        Raises:
            DataError: Samples cannot be read, and `data.on_error` is raise, or they are more than `data.max_errors`.
        """
        collected = collect_shards(context, _columns(context), lambda item: _keys(context, item))
        collected.check(context.config.data, context.stage.run_args["split"], context.stage.run_args["count"])
        if context.config.data.on_error == QUARANTINE:
            collected.write_quarantine(context.folder, context.stage.run_args["split"])
        collected.index.save(context.folder)


def _keys(context: StageContext, item: int) -> Sequence[str]:
    """The keys of one shard."""
    first, count = item * context.config.data.shard, context.stage.run_args["count"]
    numbers = range(first, min(first + context.config.data.shard, count))
    return select_keys(_source(context), context.stage.run_args["split"], numbers)


def _columns(context: StageContext) -> dict[str, str]:
    """Name of each modality's column."""
    version = DataStage.version
    return {name: column_name(name, version, context.stage.parts[name].params) for name in context.modalities}


def _source(context: StageContext) -> Source:
    """The run's source; it is opened once for all items that a process does."""
    return once_per_stage(context, "source", lambda: open_data_source(context.config.data, context.modalities))


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
