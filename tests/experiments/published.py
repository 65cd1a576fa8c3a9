"""A tiny published 4M checkpoint with a text tokenizer and a depth tokenizer, at the miniature's scale."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from modalities.layouts import ScaleConfig
from modalities.registry import default_registry
from modalities.scenes.scene import make_scene
from modalities.spec import tokenizer_tasks
from networks.pretrained.tokenizer_weights import export_tokenizer, export_tokenizer_config
from networks.tokenizers.build import build_tokenizer
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.text import TextTokenizer
from tests.reference.own.model_case import write_checkpoint
from tests.reference.own.weights import Grid, Sequence, Setting, random_weights

SCALE = ScaleConfig(size=32, patch=8, max_channels=32, max_vocab=64, max_tokens=96)


def text_tokenizer() -> TextTokenizer:
    """One that was trained on a few captions."""
    return TextTokenizer.train([make_scene(seed, size=32).caption for seed in range(20)])


def published_setting(vocab_size: int) -> Setting:
    """The quickstart's size, over pixels, depth and captions."""
    return Setting(
        domains_in={
            "rgb@224": Grid(side=4, patch=8),
            "tok_depth@224": Grid(side=4, vocab_size=64),
            "caption": Sequence(vocab_size=vocab_size),
        },
        domains_out=("tok_depth@224", "caption"),
        output_only={},
        width=64,
        heads=2,
        encoder_depth=3,
        decoder_depth=2,
    )


def write_published(folder: Path) -> None:
    """``model``, ``text.json`` and ``depth``."""
    text = text_tokenizer()
    chosen = published_setting(text.vocab_size)
    write_checkpoint(folder / "model", chosen, random_weights(chosen, 0))
    (folder / "text.json").write_text(text.to_json())
    task = tokenizer_tasks({"depth": default_registry()["depth"].scaled(SCALE)})["depth"]
    config = TokenizerConfig(width=32, heads=2, encoder_depth=1, decoder_depth=1, latent=8)
    torch.manual_seed(0)
    tokenizer = build_tokenizer(task, config)
    tensors = export_tokenizer(tokenizer, task, config)
    (folder / "depth").mkdir()
    published_config = export_tokenizer_config(task, config)
    whole = {name: value.contiguous() for name, value in tensors.items()}
    save_file(whole, folder / "depth" / "model.safetensors", {"config": json.dumps(published_config)})
