"""A trained tokenizer as a folder: weights, config, and a card with its quality.

model.safetensors  weights and codebook
config.json        the task and the sizes: what is needed to build the network again
card.json          quality, code usage, where the data came from
card.md            the same for a person
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from lightning_modules.checkpoints.safetensors import write_safetensors
from modalities.errors import CheckpointError
from modalities.layouts import Dense
from modalities.spec import UNSPECIFIED_NORMALIZATION, Modality
from modalities.storage.atomic import read_json_object
from modalities.storage.serialization import find_differences, from_plain, to_plain
from modalities.tokenizer_specs import TokenizerTask
from networks.tokenizers.build import build_tokenizer, uses_diffusion
from networks.tokenizers.config import TokenizerConfig
from networks.tokenizers.tokenizer import CodebookUsage, Tokenizer

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, CARD_MARKDOWN_FILE = "model.safetensors", "config.json", "card.json", "card.md"


@dataclass(frozen=True, kw_only=True)
class QualityMetric:
    """One figure of the round trip from values to codes and back, on held-out data."""

    value: float
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class TokenizerCard:
    """Quality, codebook usage and origin of a tokenizer."""

    normalization: str
    """Preprocessing from a raw value to the tokenizer's input."""
    quality: dict[str, QualityMetric] = field(default_factory=dict)
    """By ``modality/metric``."""
    usage: CodebookUsage | None
    """On held-out data; None where it was not measured, as of an imported tokenizer."""
    data_fingerprint: str
    provenance: str
    """Origin of the labels, by modality: exact, or proxies of an expert's."""
    steps: int = 0
    """Optimizer steps of the training."""

    @property
    def low_usage(self) -> bool:
        """True where under a tenth of the codes are used."""
        return self.usage is not None and self.usage.is_collapsed


@dataclass(frozen=True, kw_only=True)
class TrainedTokenizer:
    """A tokenizer as it comes out of its folder."""

    tokenizer: Tokenizer
    """In evaluation mode, on the CPU."""
    task: TokenizerTask
    config: TokenizerConfig
    card: TokenizerCard
    fingerprint: str
    """Hash of the weights and the sizes: equal codes come from equal fingerprints."""


def tokenizer_config_dict(task: TokenizerTask, config: TokenizerConfig) -> dict[str, Any]:
    """The task and the sizes in terms of JSON, as ``config.json`` and checkpoints hold them."""
    return {"task": to_plain(task), "config": to_plain(config)}


def save_tokenizer(
    folder: Path, tokenizer: Tokenizer, task: TokenizerTask, config: TokenizerConfig, card: TokenizerCard
) -> str:
    """Write a tokenizer's files into a folder, and give its fingerprint. Atomicity is the caller's.

    Raises:
        DataError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / WEIGHTS_FILE, tokenizer.state_dict())
    (folder / CONFIG_FILE).write_text(json.dumps(tokenizer_config_dict(task, config), indent=1) + "\n")
    (folder / CARD_FILE).write_text(json.dumps(_card_dict(task, card), indent=1) + "\n")
    (folder / CARD_MARKDOWN_FILE).write_text(card_markdown(task, config, card))
    return tokenizer_fingerprint(folder)


def load_tokenizer(folder: Path, expected: TokenizerTask | None = None) -> TrainedTokenizer:
    """The tokenizer in ``folder``.

    Args:
        expected: Task that the tokenizer must have; None accepts any.

    Raises:
        CheckpointError: A file is missing or broken, or the tokenizer is of another task; the message names which.
    """
    stored = read_json_object(folder / CONFIG_FILE, CheckpointError)
    try:
        task = from_plain(TokenizerTask, stored.get("task"))
        config = from_plain(TokenizerConfig, stored.get("config"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} does not describe a tokenizer: {error}.") from error
    if expected is not None:
        found = find_differences(to_plain(expected), to_plain(task), ignored=("members",))
        if found:
            raise CheckpointError(f"The tokenizer in {folder} has another task than expected: {'; '.join(found)}.")
    tokenizer = build_tokenizer(task, config)
    _load_weights(tokenizer, folder / WEIGHTS_FILE)
    card_file = read_json_object(folder / CARD_FILE, CheckpointError)
    try:
        card = from_plain(TokenizerCard, card_file.get("card"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CARD_FILE} is not a tokenizer's card: {error}.") from error
    return TrainedTokenizer(
        tokenizer=tokenizer.eval(), task=task, config=config, card=card, fingerprint=tokenizer_fingerprint(folder)
    )


def tokenizer_fingerprint(folder: Path) -> str:
    """Hash of a folder's weights and sizes.

    Raises:
        CheckpointError: A file is missing.
    """
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        try:
            digest.update((folder / name).read_bytes())
        except OSError as error:
            raise CheckpointError(f"{folder} is not a whole tokenizer: {name} cannot be read.") from error
    return digest.hexdigest()[:16]


def card_markdown(task: TokenizerTask, config: TokenizerConfig, card: TokenizerCard) -> str:
    """The card as Markdown."""
    network = "product codes" if not isinstance(task.layout, Dense) else f"{config.encoder.value} encoder"
    decoder = " and diffusion decoder" if uses_diffusion(task, config) else ""
    lines = [
        f"# Tokenizer `{task.name}`",
        "",
        f"- Reads: {', '.join(task.members) or task.name}, {describe_shape(task)}; {card.normalization}",
        f"- Codes: {task.layout.num_tokens} per sample out of {task.tokenizer.vocab_size}, by {network}{decoder}",
        f"- Code usage: {_describe_usage(card.usage)}",
        f"- Labels: {card.provenance}",
        f"- Data: {card.data_fingerprint}; {card.steps} steps",
    ]
    if card.low_usage:
        lines.append("- **Warning: under 10 % of the codes are used.**")
    lines += ["", "| round trip | value | unit | better |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {metric.value:.4g} | {metric.unit} | {'higher' if metric.higher_is_better else 'lower'} |"
        for name, metric in card.quality.items()
    ]
    return "\n".join(lines) + "\n"


def describe_shape(task: TokenizerTask) -> str:
    """The shape of one value, for a person."""
    layout = task.layout
    if not isinstance(layout, Dense):
        return f"vectors of {layout.channels}"
    if layout.categorical:
        return f"class maps of {layout.values_per_side} x {layout.values_per_side} pixels, {layout.channels} classes"
    return f"{layout.channels} x {layout.values_per_side} x {layout.values_per_side} values"


def _describe_usage(usage: CodebookUsage | None) -> str:
    return f"{usage.used:.1%}, perplexity {usage.perplexity:.1f}" if usage else "not measured"


def _card_dict(task: TokenizerTask, card: TokenizerCard) -> dict[str, Any]:
    """Content of ``card.json``: the card, and facts derived from the task."""
    return {
        "name": task.name,
        "members": list(task.members),
        "shape": describe_shape(task),
        "vocab": task.tokenizer.vocab_size,
        "num_tokens": task.layout.num_tokens,
        "low_usage": card.low_usage,
        "card": to_plain(card),
    }


def _load_weights(tokenizer: Tokenizer, path: Path) -> None:
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is not a whole tokenizer: {path.name} is missing.") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    shapes = {name: list(tensor.shape) for name, tensor in tokenizer.state_dict().items()}
    found = find_differences(shapes, {name: list(tensor.shape) for name, tensor in weights.items()})
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise CheckpointError(f"{path} does not fit its config: {'; '.join(found[:3])}{more}.")
    tokenizer.load_state_dict(weights)


def describe_normalizations(modalities: Mapping[str, Modality]) -> str:
    """The normalization of each modality before its tokenizer, in one line for a person."""
    words = [f"{name}: {modality.normalization}" for name, modality in modalities.items()]
    return "; ".join(words) or UNSPECIFIED_NORMALIZATION
