"""The modalities of emoji that fourm-lab does not bring, each published as an entry point."""

from dataclasses import dataclass

from torchmetrics import MetricCollection

from modalities import ClassMap, Dense, FreeTextModality, ReconstructionLoss, Text, ViTVQ, WordPiece
from modalities.metrics.base import collect
from modalities.metrics.text import ExactMatch, WordF1


@dataclass(frozen=True, kw_only=True)
class CategoryText(FreeTextModality):
    """The name of one of few categories, in words: it is right or wrong, and too short for BLEU."""

    def metrics(self) -> MetricCollection:
        """Share of names that are right, and F1 of their words."""
        return collect(exact=ExactMatch(), word_f1=WordF1())


MASK = ClassMap(
    name="emoji_mask",
    title="Shape",
    classes=("background", "emoji"),
    layout=Dense(channels=2, size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="emoji_mask", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="transparency of the picture",
    license="Apache-2.0",
)
CATEGORY = CategoryText(
    name="emoji_category",
    title="Category",
    layout=Text(max_tokens=8),
    tokenizer=WordPiece(),
    class_names=(),
    labeller="Unicode's groups of emoji",
    license="MIT",
)
