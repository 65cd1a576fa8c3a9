"""What the stages have in common: opening each other's results."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from evaluation.held_out import Codecs, Split
from experiments.config import ExperimentConfig
from experiments.planning import needs
from experiments.stages import Stage
from experiments.tracking import RunLogger
from lightning_modules.data.raw import RawStore
from lightning_modules.data.store import TokenStore
from lightning_modules.tokenizer_folder import TrainedTokenizer, fingerprint_of, load_tokenizer
from modalities.errors import DataError
from modalities.spec import Modality, SequenceModality, learnt, tokenizer_tasks
from modalities.text import SENTINEL_0, UNK
from networks.streams import PIXELS, Stream, StreamKind, streams_of
from networks.tokenizers.text import TextTokenizer

log = logging.getLogger(__name__)

TEXT, HISTORY = "text_tokenizer.json", "history.json"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One stage to be run, with all that it may read."""

    config: ExperimentConfig
    stage: Stage
    modalities: Mapping[str, Modality]
    """Of all arms, at the run's scale."""
    inputs: Mapping[str, Path]
    """Folders of its inputs, by stage name."""
    folder: Path
    """Where to write; the scheduler makes it appear when all is done."""
    report: Callable[[float, float, str], None]
    """Takes the share done, the rate per second, and the rate's unit."""
    tracking: tuple[str, str] | None = None
    """The ledger's URI and the stage's run."""

    def among(self, kind: str) -> list[Path]:
        """Folders of the inputs whose names start with ``kind``, in order."""
        return [path for name, path in self.inputs.items() if name == kind or name.startswith(f"{kind}/")]


def raw_split(job: Job, split: str, names: Sequence[str] | None = None) -> RawStore:
    """The raw values of a split."""
    chosen = {name: job.modalities[name] for name in (names or job.modalities)}
    return RawStore.open(job.among(f"data/{split}"), chosen)


def text_tokenizer(job: Job) -> TextTokenizer:
    """The text tokenizer."""
    return TextTokenizer.from_json((job.inputs["text"] / TEXT).read_text())


def tokenizers(job: Job, names: Sequence[str]) -> dict[str, TrainedTokenizer]:
    """The learnt tokenizers that some modalities need, by task, where the run computes."""
    tasks, device = tokenizer_tasks(job.modalities), device_for(job.config)
    found = {
        name: load_tokenizer(job.inputs[f"tokenizer/{name}"], tasks[name]) for name in needs(job.modalities, names)
    }
    for item in found.values():
        item.tokenizer.to(device)
    return found


def device_for(config: ExperimentConfig) -> torch.device:
    """Where a run computes what no Trainer does: tokens, round trips, answers."""
    return torch.device("cuda" if torch.cuda.is_available() and config.executor.accelerator != "cpu" else "cpu")


def fingerprints(job: Job, names: Sequence[str]) -> dict[str, str]:
    """What the tokens of each stream depend on: its tokenizer's fingerprint, the text tokenizer's, or both.

    Raises:
        CheckpointError: A tokenizer's folder is not whole.
    """
    own = {task: fingerprint_of(job.inputs[f"tokenizer/{task}"]) for task in needs(job.modalities, names)}
    prints: dict[str, str] = {}
    for name in names:
        modality = job.modalities[name]
        codes = learnt(modality)
        parts = [own[codes.tokenizer.name]] if codes else []
        if isinstance(modality, SequenceModality):
            parts.append(job.inputs["text"].name)
        prints[name] = "+".join(parts) or "raw"
        if modality.pixels:
            prints[name + PIXELS] = "raw"
    return prints


def token_store(job: Job, split: str, streams: Sequence[Stream]) -> TokenStore:
    """The tokens of a split, which must be of the job's own tokenizers.

    Raises:
        CheckpointError: They are of others.
        DataError: A file is missing or damaged.
    """
    return TokenStore(job.among(f"tokens/{split}"), streams, fingerprints=_prints_of(job, streams))


def _prints_of(job: Job, streams: Sequence[Stream]) -> dict[str, str]:
    return fingerprints(job, list(dict.fromkeys(stream.name.removesuffix(PIXELS) for stream in streams)))


def streams_for(job: Job, names: Sequence[str], text: TextTokenizer) -> tuple[Stream, ...]:
    """The streams of some modalities, their heads cut to what occurs in training where the config says so."""
    chosen = {name: job.modalities[name] for name in names}
    streams = streams_of(chosen, text.vocab_size, shared_text=job.config.training.shared_text)
    if not job.config.training.cut_heads:
        return streams
    return tuple(_cut(job, stream) if stream.kind is StreamKind.sequence else stream for stream in streams)


def _cut(job: Job, stream: Stream) -> Stream:
    """A sequence's stream whose head knows what occurs, the unknown token, and every sentinel that masking can set."""
    shards, prints = job.among("tokens/train"), _prints_of(job, [stream])
    used = TokenStore(shards, [stream], fingerprints=prints, in_memory=False).used_ids(stream.name)
    sentinels = range(SENTINEL_0 + 1, SENTINEL_0 + 3 + (stream.num_tokens + 1) // 2)
    return replace(stream, predictable=tuple(sorted({UNK_ID, *sentinels, *used})))


UNK_ID = 1
"""Id of `UNK`, to which ids that never occurred in training are counted."""
assert UNK == "[UNK]"


def codecs_of(job: Job, names: Sequence[str]) -> Codecs:
    """All that turns tokens of some modalities into values and back."""
    text = text_tokenizer(job)
    return Codecs(
        modalities={name: job.modalities[name] for name in names},
        streams=streams_for(job, names, text),
        learnt={name: item.tokenizer for name, item in tokenizers(job, names).items()},
        text=text,
    )


def split_of(job: Job, split: str, codecs: Codecs) -> Split:
    """A split as evaluation reads it."""
    values = raw_split(job, split, list(codecs.modalities))
    tokens = token_store(job, split, codecs.streams)
    if values.num_samples != len(tokens):
        raise DataError(f"The {split} split has {values.num_samples} raw samples but {len(tokens)} token samples.")
    return Split(values=values, tokens=tokens, num_samples=len(tokens))


def trainer_facts(config: ExperimentConfig) -> dict[str, Any]:
    """What every Trainer here has in common: nothing on the terminal, no files of its own."""
    return {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "accelerator": config.executor.accelerator,
    }


def logger_of(job: Job) -> RunLogger:
    """The stage's metrics, kept and written to its run in the ledger."""
    uri, run = job.tracking or (None, None)
    return RunLogger(uri, run)


def lift(job: Job, inner: str = "raw") -> None:
    """Move what a writer of whole folders has made up into the stage's own folder."""
    for path in (job.folder / inner).iterdir():
        path.rename(job.folder / path.name)
    (job.folder / inner).rmdir()


def strategy_of(config: ExperimentConfig, devices: int) -> str:
    """Lightning's name of the strategy for so many devices.

    Batches need not have targets of every modality, so plain DDP, which waits for every weight's gradient, would hang.
    """
    if devices == 1:
        return "auto"
    name = "ddp" if config.executor.strategy == "auto" else config.executor.strategy
    return "ddp_find_unused_parameters_true" if name == "ddp" else name


def left_alone(trainer: Trainer) -> bool:
    """Leave the group of processes that have trained together; True in the one that goes on by itself."""
    # Metrics would otherwise wait for processes that have ended.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return trainer.is_global_zero
