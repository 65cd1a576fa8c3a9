"""Stage kind ``text``: the text tokenizer that all sequence modalities share."""

import shutil
from collections.abc import Iterable, Iterator, Sequence

from experiments.data_source import open_data_source
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import open_raw_split
from experiments.stages.plan import Stage
from lightning_modules.checkpoints.model import TEXT_TOKENIZER_FILE
from lightning_modules.checkpoints.warm_start import load_warm_start
from lightning_modules.data.raw import RawValues
from modalities.kinds.sequences import FreeTextModality
from networks.tokenizers.text import TextTokenizer


class _Texts(Iterable[str]):
    """The texts of several modalities, one modality after the other, read anew by each iteration."""

    def __init__(self, columns: Sequence[RawValues]) -> None:
        self._columns = columns

    def __iter__(self) -> Iterator[str]:
        return (text for column in self._columns for number in column.present() if (text := column[number]))


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
        texts = _Texts([raw[name] for name in names])
        tokenizer = TextTokenizer.train(texts, open_data_source(context.config.data, context.modalities).class_names)
        (context.folder / TEXT_TOKENIZER_FILE).write_text(tokenizer.to_json())
