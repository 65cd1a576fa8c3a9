"""The modalities of emoji that fourm-lab does not bring, each published as an entry point."""

from modalities import ClassMap, Dense, FreeTextModality, ReconstructionLoss, Text, ViTVQ, WordPiece

MASK = ClassMap(
    name="emoji_mask",
    title="Shape",
    classes=("background", "emoji"),
    layout=Dense(channels=2, size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="emoji_mask", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="transparency of the picture",
    license="Apache-2.0",
)
CATEGORY = FreeTextModality(
    name="emoji_category",
    title="Category",
    layout=Text(max_tokens=8),
    tokenizer=WordPiece(),
    class_names=(),
    labeller="Unicode's groups of emoji",
    license="MIT",
)
