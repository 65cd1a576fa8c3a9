"""Cross-entropy of hidden tokens, in nats per token, against the unigram at each position.

Two questions are asked of every model, on the same samples, with the same masks:

``rgb->X``  The encoder sees every patch of the image and nothing else. All of X is hidden. Grids are predicted at once,
            each token on its own; sequences from left to right, each token given the true ones before it, up to and
            with the sentinel that closes the sequence.
``masked``  All to all. The encoder sees `EvaluationConfig.masked_inputs` tokens drawn at random, in random shares, from
            the streams that every arm has, and from X itself where X is a grid. Pixels stay out where X is the tokens
            of the same image, which they would give away. A random half of X's places, none of them visible, is
            predicted; a sequence is hidden whole.

`networks.masking.Masker` draws the masks over a list of streams that does not depend on the arm, from a seed that
depends on X and the chunk of `DRAWN` samples alone: arms that know more modalities are asked exactly the same, at any
batch size. A modality that is an input only (t5_caption) is measured by how well it lets another be predicted:
``t5_caption->caption``.

The number is a mean over tokens. Per sample it is the sum over the sample's tokens divided by the mean number of
tokens, so that the mean over samples is that same number. The unigram is measured on the very same tokens.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evaluation.config import EvaluationConfig
from evaluation.references.chance import Unigram
from evaluation.samples import EvalSplit, index_batches
from evaluation.scores import CROSS_ENTROPY, CROSS_ENTROPY_TITLE, MASKED_ROUTE, Score, route_name
from modalities.mixtures import Mixture
from networks.batch import IGNORE, Samples, TokenBatch
from networks.device import module_device
from networks.fourm.heads import class_indices, predictable_ids
from networks.fourm.model import Context, FourM
from networks.masking.masker import Masker, select
from networks.masking.mixtures import MaskingConfig
from networks.streams import GridStream, Stream, input_stream_name, token_stream

MASK_CHUNK = 64
"""Samples whose masks are drawn together, whatever the batch size: the draw depends on how many there are."""

LOGIT_CHUNK = 4096
"""Tokens whose logits are held at a time."""


@dataclass(frozen=True, kw_only=True)
class TokenLosses:
    """The loss of each hidden token of one stream."""

    model: Float[Tensor, " r"]
    chance: Float[Tensor, " r"]
    sample: Int[Tensor, " r"]
    """Row of the batch."""


class LossAccumulator:
    """Adds up losses by sample."""

    def __init__(self, num_samples: int) -> None:
        self.model = torch.zeros(num_samples, dtype=torch.float64)
        self.chance = torch.zeros(num_samples, dtype=torch.float64)
        self.tokens = torch.zeros(num_samples, dtype=torch.float64)

    def add(self, losses: TokenLosses, first: int) -> None:
        """Add a batch whose first sample has the number ``first``."""
        sample = losses.sample.cpu() + first
        self.model.index_add_(0, sample, losses.model.double().cpu())
        self.chance.index_add_(0, sample, losses.chance.double().cpu())
        self.tokens.index_add_(0, sample, torch.ones(len(sample), dtype=torch.float64))

    def score(self, target: str, name: str, arm: str, seed: int | None) -> Score:
        """The mean over tokens, and each sample's part in it."""
        mean = self.tokens.mean().clamp(min=1e-9)
        parts = self.model / mean
        return Score(
            arm=arm,
            seed=seed,
            route=name,
            target=target,
            metric=CROSS_ENTROPY,
            metric_title=CROSS_ENTROPY_TITLE,
            value=float(parts.mean()),
            unit="nats",
            higher_is_better=False,
            chance=float((self.chance / mean).mean()),
            num_samples=int((self.tokens > 0).sum()),
            samples=tuple(parts.tolist()),
        )


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model a score is of."""

    arm: str
    seed: int


def token_losses(model: FourM, batch: TokenBatch, context: Context, name: str, unigram: Unigram) -> TokenLosses:
    """The loss of every token of the stream ``name`` that the batch asks for, by the model and by chance, in nats.

    Ids that the stream's head does not choose among count as its first, as in the model's own loss.
    """
    stream = token_stream(model.streams[model.index[name]])
    decoded = model.decode(batch, context)
    target_mask = (batch.targets != IGNORE) & (batch.decoder_stream == model.index[name])
    rows, targets = decoded[target_mask], class_indices(batch.targets[target_mask], stream.predictable)
    allowed_ids = predictable_ids(stream.predictable, rows.device) if stream.predictable else None
    losses = []
    for part, target in zip(torch.split(rows, LOGIT_CHUNK), torch.split(targets, LOGIT_CHUNK), strict=True):
        logits = model.stream_logits(part, name)
        losses.append(
            torch.nn.functional.cross_entropy(
                logits if allowed_ids is None else logits[:, allowed_ids], target, reduction="none"
            )
        )
    return TokenLosses(
        model=torch.cat(losses) if losses else rows.new_zeros(0),
        chance=unigram.losses(targets, batch.decoder_position[target_mask]),
        sample=target_mask.nonzero()[:, 0],
    )


@torch.no_grad()
def masked_cross_entropy(
    model: FourM,
    split: EvalSplit,
    target: str,
    unigram: Unigram,
    common_inputs: Sequence[str],
    model_ref: ModelRef,
    config: EvaluationConfig,
) -> Score:
    """The ``masked`` question about the stream ``target``, given the streams that every arm has (`common_inputs`)."""
    stream = model.streams[model.index[target]]
    question = question_streams(model, target, common_inputs)
    stream_numbers = {item.name: position for position, item in enumerate(question)}
    masker = Masker(question, question_masking(stream, question, config))
    stream_index = torch.tensor([model.index[item.name] for item in question], device=module_device(model))
    count = min(config.num_samples, split.num_samples)
    loss_accumulator = LossAccumulator(count)
    for indices in index_batches(count, MASK_CHUNK):
        first = int(indices[0])
        samples = split.tokens.read(indices, list(stream_numbers))
        generator = torch.Generator().manual_seed(mask_seed(config.seed, target, first))
        for part in masker(samples, generator).split(config.batch_size):
            masked = part.to(module_device(model))
            batch = replace(
                masked, stream=stream_index[masked.stream], decoder_stream=stream_index[masked.decoder_stream]
            )
            loss_accumulator.add(token_losses(model, batch, model.encode(batch), target, unigram), first)
            first += len(batch.ids)
    return loss_accumulator.score(target, MASKED_ROUTE, model_ref.arm, model_ref.seed)


@torch.no_grad()
def whole_cross_entropy(
    model: FourM,
    split: EvalSplit,
    source: str,
    target: str,
    unigram: Unigram,
    model_ref: ModelRef,
    config: EvaluationConfig,
) -> Score:
    """The cross-entropy of all of ``target`` from all of the modality ``source`` and nothing else."""
    input_name = input_stream(model, source)
    count = min(config.num_samples, split.num_samples)
    loss_accumulator = LossAccumulator(count)
    for indices in index_batches(count, config.batch_size):
        samples = on_device(split.tokens.read(indices, [input_name, target]), module_device(model))
        batch = select(samples, model.streams, inputs=[input_name], targets=[target])
        loss_accumulator.add(token_losses(model, batch, model.encode(batch), target, unigram), int(indices[0]))
    return loss_accumulator.score(target, route_name(source, target), model_ref.arm, model_ref.seed)


def common_inputs(arms: Mapping[str, Sequence[Stream]]) -> tuple[str, ...]:
    """The streams that every arm has, in alphabetical order."""
    names = [{stream.name for stream in streams} for streams in arms.values()]
    return tuple(sorted(set.intersection(*names))) if names else ()


def input_stream(model: FourM, source: str) -> str:
    """The stream by which a modality enters whole: its pixels where it has them, else its tokens."""
    return input_stream_name(source, model.streams)


def question_streams(model: FourM, target: str, common: Sequence[str]) -> tuple[Stream, ...]:
    """The streams of the ``masked`` question about ``target``, the same in every arm: the common ones, then the target.

    Another stream of the target's own modality is left out, as it would give the answer away.
    """
    modality = model.streams[model.index[target]].modality
    own_streams = {stream.name for stream in model.streams if stream.modality == modality}
    names = [name for name in sorted(common) if name not in own_streams]
    return tuple(model.streams[model.index[name]] for name in (*names, target))


def question_masking(target: Stream, streams: Sequence[Stream], config: EvaluationConfig) -> MaskingConfig:
    """How the ``masked`` question is drawn: one mixture at concentration 1, of which the target is the only goal."""
    is_grid = isinstance(target, GridStream)
    mixture = Mixture(
        input_alpha=1.0,
        input_overrides={} if is_grid or len(streams) == 1 else {target.name: 0.0},
        target_alpha=0.0,
        target_overrides={target.name: 1.0},
    )
    targets = max(target.num_tokens // 2, 1) if is_grid else target.num_tokens + 2
    return MaskingConfig(num_inputs=config.masked_inputs, num_targets=targets, mixtures=[mixture])


def mask_seed(seed: int, target: str, first: int) -> int:
    """The seed of the masks of the `DRAWN` samples from ``first`` on."""
    return zlib.crc32(f"{seed}/{target}/{first}".encode())


def on_device(samples: Samples, device: torch.device) -> Samples:
    """The samples on another device."""
    return {name: column.to(device) for name, column in samples.items()}
