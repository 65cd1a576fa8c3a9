"""Sequences, from left to right, with the keys and values of what is written kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from modalities.vocabulary import EOS_ID, NUM_SENTINELS, SENTINEL_0_ID
from networks.fourm.model import Context, FourM
from networks.generation.config import DecodingConfig
from networks.generation.counter_rng import CounterRng
from networks.generation.sampling import GREEDY_TEMPERATURE, apply_guidance, filter_logits, sample_tokens
from networks.generation.state import FIRST_SENTINEL

EOS_CHECK_INTERVAL = 16
"""Tokens between two looks at which samples have ended, on a device that has to be waited for."""


@dataclass(frozen=True, kw_only=True)
class InfillingSpec:
    """What is to be written of each sample."""

    end_ids: Int[Tensor, " b"]
    """The id that closes it."""
    max_lengths: Int[Tensor, " b"]
    """Most tokens, the closing one included; 0 writes nothing."""
    longest: int
    """The largest limit."""
    start_id: int = FIRST_SENTINEL
    """The id that is given in front of it."""
    is_infilling: Bool[Tensor, " b"] | None = None
    """True where something is known beside the gaps; None for nowhere. There only the next sentinel can be written, and
    the text cannot end before its last gap: what is known behind an end token would be lost."""


@dataclass(frozen=True, kw_only=True)
class GeneratedTokens:
    """What has been written so far, behind the token that opens it."""

    ids: Int[Tensor, "b n"]
    lengths: Int[Tensor, " b"]
    """The closing token included."""
    log_probability: Float[Tensor, " b"]
    """Of all tokens together, at temperature 1 and without truncation, in nats."""
    num_generated: int
    """How many tokens the longest has."""

    def rows(self) -> list[list[int]]:
        """Each sample's tokens, the closing one included."""
        return [row[:length] for row, length in zip(self.ids.tolist(), self.lengths.tolist(), strict=True)]


@torch.no_grad()
def generate_sequence_tokens(
    model: FourM,
    contexts: Sequence[Context],
    stream: str,
    spec: InfillingSpec,
    decoding: DecodingConfig,
    rng: CounterRng,
    weights: tuple[float, ...] = (),
) -> Iterator[GeneratedTokens]:
    """What is written after each token.

    Samples that have ended leave the batch when that is noticed: at once on a CPU, every `GLANCE` tokens elsewhere.

    Args:
        contexts: From `FourM.encode`: the branches of guidance one under another.
        weights: Of the branches behind the first.
    """
    stream_index, device, branches = model.index[stream], contexts[0].values.device, 1 + len(weights)
    b, max_length = len(spec.end_ids), spec.longest
    ids = torch.zeros(b, max_length, dtype=torch.int64, device=device)
    lengths, total = torch.zeros(b, dtype=torch.int64, device=device), torch.zeros(b, device=device)
    active, ended = torch.arange(b, device=device), spec.max_lengths <= 0
    context_kv, past_key_values = model.cross_attention_kv(*contexts), model.init_kv_cache(branches * b, max_length)
    input_ids = torch.full((b,), spec.start_id, device=device)
    next_sentinel = torch.full((b,), FIRST_SENTINEL + 1, device=device)
    for num_generated in range(max_length):
        if device.type == "cpu" or num_generated % EOS_CHECK_INTERVAL == 0:
            is_active = ~ended
            if not is_active.any():
                return
            if not is_active.all():
                kept = is_active.nonzero()[:, 0]
                context_kv = [
                    [item.select(_branch_rows(kept, len(item.key), len(active))) for item in own] for own in context_kv
                ]
                past_key_values = [
                    item.select(_branch_rows(kept, branches * len(active), len(active))) for item in past_key_values
                ]
                active, ended, input_ids, next_sentinel, rng = (
                    active[kept],
                    ended[kept],
                    input_ids[kept],
                    next_sentinel[kept],
                    rng.select(kept),
                )
        row = input_ids.repeat(branches)[:, None]
        x = model.embed_targets(row, torch.full_like(row, stream_index), torch.full_like(row, num_generated))
        decoded, _ = model.decode_step(x, context_kv, past_key_values)
        logits = model.stream_logits(apply_guidance(decoded, weights), stream)
        if spec.is_infilling is not None:
            logits = torch.where(
                spec.is_infilling[active, None, None],
                restrict_sentinels(logits, next_sentinel, spec.end_ids[active]),
                logits,
            )
        input_ids, log_probability = _sample_next(logits, decoding, rng, stream_index, num_generated)
        ids[active, num_generated] = torch.where(ended, 0, input_ids)
        total[active] += torch.where(ended, 0.0, log_probability.to(total.dtype))
        lengths[active] += ~ended
        ended = ended | (input_ids == spec.end_ids[active]) | (num_generated + 1 >= spec.max_lengths[active])
        next_sentinel = next_sentinel + (input_ids == next_sentinel)
        yield GeneratedTokens(ids=ids, lengths=lengths, log_probability=total, num_generated=num_generated + 1)


def _branch_rows(kept: Int[Tensor, " k"], rows: int, b: int) -> Int[Tensor, " r"]:
    """Among ``rows``, which are branches of ``b`` samples one under another, those of the samples ``kept``."""
    return (torch.arange(0, rows, b, device=kept.device)[:, None] + kept).flatten()


def restrict_sentinels(
    logits: Float[Tensor, "b 1 v"], next_sentinel: Int[Tensor, " b"], end_ids: Int[Tensor, " b"]
) -> Float[Tensor, "b 1 v"]:
    """``logits`` without any sentinel but the one that is due, and without the end token before the last gap."""
    ids = torch.arange(logits.shape[-1], device=logits.device)
    is_sentinel_id = (ids >= SENTINEL_0_ID) & (ids < SENTINEL_0_ID + NUM_SENTINELS)
    forbidden = (is_sentinel_id & (ids != next_sentinel[:, None])) | (
        (ids == EOS_ID) & (next_sentinel != end_ids)[:, None]
    )
    return logits.masked_fill(forbidden[:, None], -torch.inf)


def _sample_next(
    logits: Float[Tensor, "b 1 v"], decoding: DecodingConfig, rng: CounterRng, stream_index: int, num_generated: int
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """The next token of each sample and its log-probability."""
    filtered = filter_logits(logits, decoding.top_k, decoding.top_p)
    if decoding.temperature.start < GREEDY_TEMPERATURE:
        # What `draw` would take, without its probability, which costs more than the choice.
        ids = filtered.argmax(dim=-1)
    else:
        places = torch.zeros(len(logits), 1, dtype=torch.int64, device=logits.device)
        temperature = torch.full((len(logits),), decoding.temperature.start, device=logits.device)
        ids, _ = sample_tokens(filtered, temperature, rng.uniform(stream_index, num_generated, places))
    log_probability = logits.log_softmax(dim=-1).gather(-1, ids[..., None])
    return ids[:, 0], log_probability[:, 0, 0]


def infilling_spec(gaps: list[int], known: list[int], limit: int, device: torch.device) -> InfillingSpec:
    """The assignment of sequences with ``gaps`` sentinels among what is shown of ``known`` tokens beside them.

    Args:
        limit: Longest whole sequence.
    """
    end_ids = torch.tensor([FIRST_SENTINEL + stream_index for stream_index in gaps], device=device)
    # A sentinel before each gap but the first, which is given, and one behind the last.
    max_lengths = [
        max(limit - num_known, 0) + stream_index if stream_index else 0
        for stream_index, num_known in zip(gaps, known, strict=True)
    ]
    return InfillingSpec(
        end_ids=end_ids,
        max_lengths=torch.tensor(max_lengths, device=device),
        longest=max(max_lengths, default=0),
        is_infilling=torch.tensor(known, device=device) > 0 if any(known) else None,
    )
