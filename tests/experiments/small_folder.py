"""A model's folder with everything in it and nothing learnt, made in a second."""

from collections.abc import Sequence
from pathlib import Path

import torch

from lightning_modules.checkpoints.model import save_model
from lightning_modules.checkpoints.tokenizer import TokenizerCard, save_tokenizer
from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.spec import tokenizer_tasks
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from networks.streams import streams_of
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.text import TextTokenizer

NAMES = ("rgb", "depth", "semseg", "sam_instances", "caption", "bounding_boxes", "t5_caption")
SCALE = ScaleConfig(size=32, patch=8, max_channels=8, max_vocab=16, max_tokens=40)
TEXTS = ["a red ball on a white floor", "a person in a green shirt", "point v0=3 v1=4 none"]


def make_model_folder(folder: Path, names: Sequence[str] = NAMES) -> Path:
    """Write it."""
    torch.manual_seed(0)
    registry = default_registry()
    chosen = {name: registry[name].scaled(SCALE) for name in names}
    text = TextTokenizer.train(TEXTS)
    tokenizers = {}
    card = TokenizerCard(normalization="", usage=None, data_fingerprint="", provenance="")
    for name, task in tokenizer_tasks(chosen).items():
        tokenizers[name] = folder.parent / "tokenizers" / name
        tokenizers[name].parent.mkdir(parents=True, exist_ok=True)
        config = TokenizerConfig.nano()
        save_tokenizer(tokenizers[name], build_tokenizer(task, config), task, config, card)
    model = FourM(streams_of(chosen, text.vocab_size), FourMConfig(size=Size.nano, encoder_depth=1, decoder_depth=1))
    save_model(
        folder,
        model,
        modalities=names,
        scale=SCALE,
        text=text,
        fingerprints={},
        tokenizers=tokenizers,
        card={"data": "nothing"},
    )
    return folder
