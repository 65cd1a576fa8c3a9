"""Stage kind ``tokens``: one split as tokens."""

from collections.abc import Iterator
from pathlib import Path

from experiments.shards import column_name, once_per_stage
from experiments.stages.base import PlanContext, ShardedStageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import build_codec, stream_fingerprints
from experiments.stages.plan import ModalityPart, Stage
from lightning_modules.data.raw import RawStore
from lightning_modules.data.shards import MANIFEST, read_manifest
from lightning_modules.data.split import SplitIndex
from lightning_modules.data.tokenize import tokenize_shard
from networks.streams import pixel_stream_name


class TokensStage(ShardedStageKind):
    """Encodes a split with the trained tokenizers, shard by shard, each stream into a column of its own.

    A column's name has a hash of its values' column and of the tokenizers that made it.
    """

    kind = "tokens"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one stage for every split of raw values."""
        parts = {name: ModalityPart(inputs=context.tokenizer_names([name])) for name in context.modalities}
        for stage in context.stages:
            if stage.kind == "data":
                yield self.stage(
                    stage.name.replace("data", self.kind, 1),
                    {},
                    inputs=(stage.name, *context.names("text", "tokenizer")),
                    parts=parts,
                    run_args=stage.run_args,
                    num_items=stage.num_items,
                    cost=stage.cost,
                )

    def run_item(self, context: StageContext, item: int) -> None:
        """Encode one shard: the modalities whose columns are missing."""
        folder, data = _data_folder(context), _data(context)
        if item >= len(data.shards):
            return  # The stage of the values went on without some shards.
        target, columns = _shard_folder(context, data.shards[item]), _columns(context, data)
        missing = [
            name
            for name in context.modalities
            if not all((target / columns[stream] / MANIFEST).is_file() for stream in _streams(context, name))
        ]
        if not missing:
            return
        names = list(context.modalities)
        raw = RawStore.open(
            [data.folders(folder)[item]],
            {name: context.modalities[name] for name in missing},
            column_names=data.columns,
        )
        tokenize_shard(
            target,
            raw,
            once_per_stage(context, "codec", lambda: build_codec(context, names)),
            once_per_stage(context, "fingerprints", lambda: stream_fingerprints(context, names)),
            column_names=columns,
            first=data.firsts[item],
            progress=lambda done: context.report_progress(done, 0.0, "modalities"),
        )

    def run(self, context: StageContext) -> None:
        """Collect the shards; the samples that are left out are those of the values."""
        data = _data(context)
        columns = _columns(context, data)
        folders = [_shard_folder(context, shard) for shard in data.shards]
        for folder in folders:
            for column in columns.values():
                read_manifest(folder / column)
        SplitIndex(
            shards=tuple(str(folder.relative_to(context.folder.parent)) for folder in folders),
            firsts=data.firsts,
            columns=columns,
            omitted=data.omitted,
            num_omitted=data.num_omitted,
        ).save(context.folder)


def _data_folder(context: StageContext) -> Path:
    return context.inputs[f"data/{context.stage.run_args['split']}"]


def _data(context: StageContext) -> SplitIndex:
    return once_per_stage(context, "data", lambda: SplitIndex.load(_data_folder(context)))


def _shard_folder(context: StageContext, shard: str) -> Path:
    """The folder of a shard's tokens, called as that of its values."""
    return context.columns_folder / "tokens" / str(context.stage.run_args["split"]) / Path(shard).name


def _streams(context: StageContext, name: str) -> list[str]:
    """The streams that a modality has columns of."""
    return [name, *([pixel_stream_name(name)] if context.modalities[name].has_pixel_stream else [])]


def _columns(context: StageContext, data: SplitIndex) -> dict[str, str]:
    """Name of each stream's column."""
    names: dict[str, str] = {}
    for name, part in context.stage.parts.items():
        # The folder of a tokenizer's stage has its signature in its name.
        tokenizers = [context.inputs[other].name for other in part.inputs]
        names[name] = column_name(name, TokensStage.version, data.columns[name], tokenizers)
        for stream in _streams(context, name)[1:]:
            names[stream] = column_name(stream, TokensStage.version, data.columns[name])
    return names
