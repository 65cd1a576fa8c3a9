"""Stage kind ``tokens``: one shard of raw values as tokens."""

from collections.abc import Iterator

from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import build_codec, stream_fingerprints
from experiments.stages.plan import ModalityPart, Stage
from lightning_modules.data.raw import RawStore
from lightning_modules.data.tokenize import tokenize_shard


class TokensStage(StageKind):
    """Encodes one shard with the trained tokenizers."""

    kind = "tokens"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one stage for every shard of raw values."""
        parts = {name: ModalityPart(inputs=context.tokenizer_names([name])) for name in context.modalities}
        for stage in context.stages:
            if stage.kind == "data":
                yield self.stage(
                    stage.name.replace("data", self.kind, 1),
                    {},
                    inputs=(stage.name, *context.names("text", "tokenizer")),
                    parts=parts,
                    run_args=stage.run_args,
                    cost=stage.cost,
                )

    def run(self, context: StageContext) -> None:
        """Encode the shard."""
        raw = RawStore.open(context.input_folders("data"), context.modalities)
        names = list(context.modalities)
        tokenize_shard(
            context.folder,
            raw,
            build_codec(context, names),
            stream_fingerprints(context, names),
            first=context.stage.run_args["first"],
            progress=lambda done: context.report_progress(done, 0.0, "modalities"),
        )
