"""Autoregressive generation of sequences with cached keys and values."""

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
from networks.layers.blocks import KeyValues, KVCache

EOS_CHECK_INTERVAL = 16
"""Tokens between two checks for samples that have ended, on a device that has to be synchronised for it."""


@dataclass(frozen=True, kw_only=True)
class InfillingSpec:
    """Specification of the tokens to generate for each sample."""

    end_ids: Int[Tensor, " b"]
    """The id that ends the sample."""
    max_lengths: Int[Tensor, " b"]
    """Maximum number of tokens, the end included; 0 generates nothing."""
    longest: int
    """The largest of `max_lengths`."""
    start_id: int = FIRST_SENTINEL
    """The id in front of the first token."""
    is_infilling: Bool[Tensor, " b"] | None = None
    """True for samples with known tokens beside the gaps; None if there are none. Those can write only the next
    sentinel, and no end token before the last gap: known tokens behind it would be lost."""


@dataclass(frozen=True, kw_only=True)
class GeneratedTokens:
    """Tokens generated so far, without the start token."""

    ids: Int[Tensor, "b n"]
    lengths: Int[Tensor, " b"]
    """Number of tokens, the end included."""
    log_probability: Float[Tensor, " b"]
    """Sum over tokens, at temperature 1 and without truncation, in nats."""
    num_generated: int
    """Number of tokens of the longest."""

    def rows(self) -> list[list[int]]:
        """Each sample's tokens, the end included."""
        return [row[:length] for row, length in zip(self.ids.tolist(), self.lengths.tolist(), strict=True)]


@dataclass(kw_only=True)
class _ActiveSamples:
    """Samples that have not ended, and what the decoder keeps of them."""

    index: Int[Tensor, " a"]
    """Index of each into the batch."""
    ended: Bool[Tensor, " a"]
    """True for samples that have ended but are still in."""
    input_ids: Int[Tensor, " a"]
    """The last token of each."""
    next_sentinel: Int[Tensor, " a"]
    """The next sentinel that each may write."""
    rng: CounterRng
    context_kv: list[list[KeyValues]]
    past_key_values: list[KVCache]
    branches: int

    def drop_ended(self) -> None:
        """Take the samples that have ended out of the batch."""
        kept, b = (~self.ended).nonzero()[:, 0], len(self.index)
        if not 0 < len(kept) < b:
            return
        self.context_kv = [
            [item.select(_branch_rows(kept, len(item.key), b)) for item in own] for own in self.context_kv
        ]
        rows = _branch_rows(kept, self.branches * b, b)
        self.past_key_values = [item.select(rows) for item in self.past_key_values]
        self.index, self.ended = self.index[kept], self.ended[kept]
        self.input_ids, self.next_sentinel = self.input_ids[kept], self.next_sentinel[kept]
        self.rng = self.rng.select(kept)


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
    """The tokens generated so far, after each token.

    Samples that have ended leave the batch when that is checked: after each token on a CPU, every `EOS_CHECK_INTERVAL`
    tokens elsewhere.

    Args:
        contexts: From `FourM.encode`: the guidance branches form one batch.
        weights: Of all branches but the first.
    """
    stream_index, device, branches = model.index[stream], contexts[0].values.device, 1 + len(weights)
    b, max_length = len(spec.end_ids), spec.longest
    ids = torch.zeros(b, max_length, dtype=torch.int64, device=device)
    lengths, total = torch.zeros(b, dtype=torch.int64, device=device), torch.zeros(b, device=device)
    active = _ActiveSamples(
        index=torch.arange(b, device=device),
        ended=spec.max_lengths <= 0,
        input_ids=torch.full((b,), spec.start_id, device=device),
        next_sentinel=torch.full((b,), FIRST_SENTINEL + 1, device=device),
        rng=rng,
        context_kv=model.cross_attention_kv(*contexts),
        past_key_values=model.init_kv_cache(branches * b, max_length),
        branches=branches,
    )
    for position in range(max_length):
        if device.type == "cpu" or position % EOS_CHECK_INTERVAL == 0:
            if active.ended.all():
                return
            active.drop_ended()
        logits = _next_logits(model, active, stream, position, weights)
        rows, ended = active.index, active.ended
        if spec.is_infilling is not None:
            restricted = restrict_sentinels(logits, active.next_sentinel, spec.end_ids[rows])
            logits = torch.where(spec.is_infilling[rows, None, None], restricted, logits)
        new_ids, log_probability = _sample_next(logits, decoding, active.rng, stream_index, position)
        ids[rows, position] = torch.where(ended, 0, new_ids)
        total[rows] += torch.where(ended, 0.0, log_probability.to(total.dtype))
        lengths[rows] += ~ended
        active.input_ids = new_ids
        active.ended = ended | (new_ids == spec.end_ids[rows]) | (position + 1 >= spec.max_lengths[rows])
        active.next_sentinel = active.next_sentinel + (new_ids == active.next_sentinel)
        yield GeneratedTokens(ids=ids, lengths=lengths, log_probability=total, num_generated=position + 1)


def _next_logits(
    model: FourM, active: _ActiveSamples, stream: str, position: int, weights: tuple[float, ...]
) -> Float[Tensor, "a 1 v"]:
    """Logits of the token at ``position``."""
    row = active.input_ids.repeat(active.branches)[:, None]
    x = model.embed_targets(row, torch.full_like(row, model.index[stream]), torch.full_like(row, position))
    decoded, _ = model.decode_step(x, active.context_kv, active.past_key_values)
    return model.stream_logits(apply_guidance(decoded, weights), stream)


def _branch_rows(kept: Int[Tensor, " k"], rows: int, b: int) -> Int[Tensor, " r"]:
    """Rows of the samples ``kept`` in all guidance branches, which lie one behind another, ``b`` samples each."""
    return (torch.arange(0, rows, b, device=kept.device)[:, None] + kept).flatten()


def restrict_sentinels(
    logits: Float[Tensor, "b 1 v"], next_sentinel: Int[Tensor, " b"], end_ids: Int[Tensor, " b"]
) -> Float[Tensor, "b 1 v"]:
    """``logits`` with -inf for all sentinels but the next one, and for the end token before the last gap."""
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
        # As `sample_tokens` does, without the probability, which costs more than the choice.
        ids = filtered.argmax(dim=-1)
    else:
        places = torch.zeros(len(logits), 1, dtype=torch.int64, device=logits.device)
        temperature = torch.full((len(logits),), decoding.temperature.start, device=logits.device)
        ids, _ = sample_tokens(filtered, temperature, rng.uniform(stream_index, num_generated, places))
    log_probability = logits.log_softmax(dim=-1).gather(-1, ids[..., None])
    return ids[:, 0], log_probability[:, 0, 0]


def infilling_spec(gaps: list[int], known: list[int], limit: int, device: torch.device) -> InfillingSpec:
    """Specification for sequences with ``gaps`` sentinels and ``known`` tokens each.

    Args:
        limit: Maximum length of a completed sequence.
    """
    end_ids = torch.tensor([FIRST_SENTINEL + num_gaps for num_gaps in gaps], device=device)
    # One sentinel before each gap but the first, whose sentinel is given, and one behind the last.
    max_lengths = [
        max(limit - num_known, 0) + num_gaps if num_gaps else 0 for num_gaps, num_known in zip(gaps, known, strict=True)
    ]
    return InfillingSpec(
        end_ids=end_ids,
        max_lengths=torch.tensor(max_lengths, device=device),
        longest=max(max_lengths, default=0),
        is_infilling=torch.tensor(known, device=device) > 0 if any(known) else None,
    )
