"""Stage kind ``text``: the text tokenizer that all sequence modalities share."""

import shutil
from collections.abc import Iterator

from experiments.data_source import open_data_source
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import open_raw_split
from experiments.stages.plan import Stage
from lightning_modules.checkpoints.model import TEXT_TOKENIZER_FILE
from lightning_modules.checkpoints.warm_start import load_warm_start
from modalities.kinds.sequences import FreeTextModality
from networks.tokenizers.text import TextTokenizer


class TextStage(StageKind):
    """Learns word pieces from the training split's free text."""

    kind = "text"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan the one text tokenizer; a warm start brings its own."""
        names = tuple(sorted(name for name, item in context.modalities.items() if isinstance(item, FreeTextModality)))
        start = context.warm_start
        params = {"start": start.text_hash} if start and start.text_hash else {"modalities": names}
        yield self.stage("text", params, inputs=context.names("data/train"), read_modalities=names, cost=1.0)

    def run(self, context: StageContext) -> None:
        """Train the tokenizer, or copy the warm start's."""
        start = load_warm_start(context.config.training.start_from, {})
        if start and start.text_hash:
            shutil.copy(start.folder / TEXT_TOKENIZER_FILE, context.folder / TEXT_TOKENIZER_FILE)
            return
        names = [name for name, item in context.modalities.items() if isinstance(item, FreeTextModality)]
        raw = open_raw_split(context, "train", names)
        texts = [text for name in names for text in raw[name][:] if text]
        tokenizer = TextTokenizer.train(texts, open_data_source(context.config.data, context.modalities).class_names)
        (context.folder / TEXT_TOKENIZER_FILE).write_text(tokenizer.to_json())
