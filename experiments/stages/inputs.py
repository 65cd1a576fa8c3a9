"""Readers of other stages' results for a running stage: values, tokens, tokenizers and the streams made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from evaluation.samples import EvalSplit
from experiments.schema.experiment import ExperimentConfig
from experiments.stages.context import StageContext
from lightning_modules.checkpoints.model import TEXT_TOKENIZER_FILE, file_fingerprint
from lightning_modules.checkpoints.tokenizer import TrainedTokenizer, load_tokenizer, tokenizer_fingerprint
from lightning_modules.data.raw import RawStore
from lightning_modules.data.split import SplitIndex
from lightning_modules.data.store import TokenStore
from modalities.errors import DataError
from modalities.spec import Modality, SequenceModality, learned_tokenizer, tokenizer_tasks
from modalities.vocabulary import SENTINEL_0_ID, UNK
from networks.streams import SequenceStream, Stream, pixel_stream_name, streams_of
from networks.tokenizers.codec import Codec
from networks.tokenizers.text import TextTokenizer


def open_raw_split(context: StageContext, split: str, names: Sequence[str] | None = None) -> RawStore:
    """The raw values of a split."""
    selected = {name: context.modalities[name] for name in (names or context.modalities)}
    folder = context.inputs[f"data/{split}"]
    index = SplitIndex.load(folder)
    return RawStore.open(index.folders(folder), selected, column_names=index.columns, omitted=index.omitted)


def describe_omitted(context: StageContext) -> str:
    """The samples that were left out because they cannot be read, in words; empty if there are none."""
    counts = {split: SplitIndex.load(context.inputs[f"data/{split}"]).num_omitted for split in ("train", "validation")}
    if not any(counts.values()):
        return ""
    return f"; without {counts['train']} training and {counts['validation']} held-out samples that cannot be read"


def load_text_tokenizer(context: StageContext) -> TextTokenizer:
    """The text tokenizer."""
    return TextTokenizer.from_json((context.inputs["text"] / TEXT_TOKENIZER_FILE).read_text())


def load_tokenizers(context: StageContext, names: Sequence[str]) -> dict[str, TrainedTokenizer]:
    """The learned tokenizers that some modalities need, by task, on the run's inference device."""
    tasks, device = tokenizer_tasks(context.modalities), inference_device(context.config)
    loaded = {
        name: load_tokenizer(context.inputs[f"tokenizer/{name}"], tasks[name])
        for name in required_tokenizers(context.modalities, names)
    }
    for item in loaded.values():
        item.tokenizer.to(device)
    return loaded


def inference_device(config: ExperimentConfig) -> torch.device:
    """Device of all work outside a Trainer: tokens, round trips, predictions."""
    return torch.device("cuda" if torch.cuda.is_available() and config.executor.accelerator != "cpu" else "cpu")


def stream_fingerprints(context: StageContext, names: Sequence[str]) -> dict[str, str]:
    """Fingerprint of each stream's tokens: its tokenizer's, the text tokenizer's, or both.

    Raises:
        CheckpointError: A tokenizer's folder is not whole.
    """
    tokenizer_prints = {
        task: tokenizer_fingerprint(context.inputs[f"tokenizer/{task}"])
        for task in required_tokenizers(context.modalities, names)
    }
    fingerprints: dict[str, str] = {}
    for name in names:
        modality = context.modalities[name]
        codes = learned_tokenizer(modality)
        sources = [tokenizer_prints[codes.tokenizer.name]] if codes else []
        if isinstance(modality, SequenceModality):
            sources.append(file_fingerprint(context.inputs["text"] / TEXT_TOKENIZER_FILE))
        fingerprints[name] = "+".join(sources) or "raw"
        if modality.has_pixel_stream:
            fingerprints[pixel_stream_name(name)] = "raw"
    return fingerprints


def open_token_store(context: StageContext, split: str, streams: Sequence[Stream]) -> TokenStore:
    """The tokens of a split, which must be of the stage's own tokenizers.

    Raises:
        CheckpointError: They are of others.
        DataError: A file is missing or damaged.
    """
    folder = context.inputs[f"tokens/{split}"]
    index = SplitIndex.load(folder)
    return TokenStore(
        index.folders(folder),
        streams,
        fingerprints=stream_fingerprints(context, list(dict.fromkeys(stream.modality for stream in streams))),
        column_names=index.columns,
        omitted=index.omitted,
    )


def build_streams(context: StageContext, names: Sequence[str], text: TextTokenizer) -> tuple[Stream, ...]:
    """The streams of some modalities, their heads cut to what occurs in training where the config says so."""
    selected = {name: context.modalities[name] for name in names}
    streams = streams_of(selected, text.vocab_size, shared_text=context.config.model.shared_text)
    if not context.config.model.restrict_output_vocab:
        return streams
    return tuple(
        _restrict_head(context, stream) if isinstance(stream, SequenceStream) else stream for stream in streams
    )


def _restrict_head(context: StageContext, stream: SequenceStream) -> SequenceStream:
    """A sequence's stream whose head knows what occurs, the unknown token, and every sentinel that masking can set."""
    used = open_token_store(context, "train", [stream]).used_ids(stream.name)
    sentinels = range(SENTINEL_0_ID + 1, SENTINEL_0_ID + 3 + (stream.num_tokens + 1) // 2)
    return replace(stream, predictable=tuple(sorted({UNK_ID, *sentinels, *used})))


UNK_ID = 1
"""Id of `UNK`, to which ids that never occurred in training are counted."""
assert UNK == "[UNK]"


def build_codec(context: StageContext, names: Sequence[str]) -> Codec:
    """Encoder and decoder of some modalities."""
    return Codec(
        modalities={name: context.modalities[name] for name in names},
        tokenizers={name: item.tokenizer for name, item in load_tokenizers(context, names).items()},
        text_tokenizer=load_text_tokenizer(context),
    )


def open_eval_split(context: StageContext, split: str, names: Sequence[str]) -> EvalSplit:
    """The values and tokens of some modalities in a split.

    Raises:
        DataError: There are not as many values as tokens.
    """
    values = open_raw_split(context, split, names)
    streams = build_streams(context, names, load_text_tokenizer(context))
    tokens = open_token_store(context, split, streams)
    if values.num_samples != len(tokens):
        raise DataError(f"The {split} split has {values.num_samples} raw samples but {len(tokens)} token samples.")
    return EvalSplit(values=values, tokens=tokens, streams=streams, num_samples=len(tokens))


def required_tokenizers(modalities: Mapping[str, Modality], names: Sequence[str]) -> list[str]:
    """The learned tokenizers that some modalities need."""
    return list(
        dict.fromkeys(
            codes.tokenizer.name for name in names if (codes := learned_tokenizer(modalities[name])) is not None
        )
    )
