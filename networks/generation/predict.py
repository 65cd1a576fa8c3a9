"""One-step prediction of grids and greedy prediction of sequences."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from networks.batch import TokenBatch
from networks.fourm.model import Context, FourM
from networks.generation.autoregressive import InfillingSpec, generate_sequence_tokens
from networks.generation.config import DecodingConfig
from networks.generation.counter_rng import CounterRng
from networks.generation.maskgit import grid_logits
from networks.generation.schedules import Temperature
from networks.generation.state import FIRST_SENTINEL, KnownTokens, known_sequences
from networks.streams import SequenceStream, Stream
from networks.tokenizers.codec import Codec, DecodedValues

GREEDY = DecodingConfig(temperature=Temperature(start=0.0))
"""Argmax at each token."""


@dataclass(frozen=True, kw_only=True)
class GridPrediction:
    """Every token of a grid, predicted at once."""

    ids: Int[Tensor, "b n"]
    """The most likely id at each place."""
    probabilities: Float[Tensor, "b n v"]


@dataclass(frozen=True, kw_only=True)
class GeneratedSequence:
    """Sequences generated from left to right."""

    ids: list[list[int]]
    """Tokens of each sample, without start and end."""
    log_probability: Float[Tensor, " b"]
    """Mean log-probability of the generated tokens, the end included, in nats."""


@torch.no_grad()
def predict_grid(model: FourM, context: Context, stream: str) -> GridPrediction:
    """Predict all tokens of a grid in one step, independently: the model's marginals.

    Args:
        context: From `FourM.encode`.
    """
    n = model.streams[model.index[stream]].num_tokens
    places = torch.arange(n, device=context.values.device).expand(len(context.values), n)
    probabilities = grid_logits(model, [context], stream, places, None, ()).softmax(dim=-1)
    return GridPrediction(ids=probabilities.argmax(dim=-1), probabilities=probabilities)


@torch.no_grad()
def predict_sequence(
    model: FourM, context: Context, stream: str, *, start: int, end: int, max_tokens: int | None = None
) -> GeneratedSequence:
    """Predict a whole sequence by greedy decoding.

    Args:
        context: From `FourM.encode`.
        start: Id in front of the sequence: the first sentinel.
        end: Id that ends it: the second sentinel.
        max_tokens: Maximum length; None for the stream's own.
    """
    most = model.streams[model.index[stream]].num_tokens
    limit = min(max_tokens or most, most)
    b, device = len(context.values), context.values.device
    spec = InfillingSpec(
        end_ids=torch.full((b,), end, device=device),
        max_lengths=torch.full((b,), limit + 1, device=device),
        longest=limit + 1,
        start_id=start,
    )
    *_, last = generate_sequence_tokens(
        model, [context], stream, spec, GREEDY, CounterRng(keys=torch.zeros_like(spec.end_ids))
    )
    ids = [row[:-1] if row[-1] == end else row[:limit] for row in last.rows()]
    return GeneratedSequence(ids=ids, log_probability=last.log_probability / last.lengths)


@torch.no_grad()
def encoder_features(model: FourM, batch: TokenBatch) -> Float[Tensor, "b n d"]:
    """The encoder's normed outputs at each slot, before their projection for the decoder; registers left out."""
    found: list[Tensor] = []
    handle = model.encoder_norm.register_forward_hook(lambda module, inputs, output: found.append(output))
    try:
        model.encode(batch)
    finally:
        handle.remove()
    return found[0][:, model.config.registers :]


def sentinel_prompt(target: Stream, b: int, device: torch.device) -> dict[str, KnownTokens]:
    """The encoder's prompt for a target: published models are shown the first sentinel of a sequence to be written."""
    if not target.published_name or not isinstance(target, SequenceStream) or not target.is_input:
        return {}
    return {target.name: known_sequences([[FIRST_SENTINEL]] * b, device)}


@torch.no_grad()
def predict_values(
    model: FourM,
    codec: Codec,
    context: Context,
    target: str,
    *,
    use_argmax: bool = False,
    max_tokens: int | None = None,
) -> DecodedValues:
    """The values of ``target`` that the model predicts from an encoded context.

    A dense modality is predicted in one step and decoded from the probability-weighted mean of the code vectors, a
    sequence is written greedily.

    Args:
        context: From `FourM.encode`.
        use_argmax: Decode a dense modality from its most likely codes instead, which keeps maps sharp.
        max_tokens: Longest sequence; the stream's own limit where None.
    """
    if codec.is_dense(target):
        prediction = predict_grid(model, context, target)
        if use_argmax:
            return codec.decode(target, prediction.ids)
        return codec.decode_soft(target, prediction.probabilities)
    start, end = FIRST_SENTINEL, FIRST_SENTINEL + 1
    generated = predict_sequence(model, context, target, start=start, end=end, max_tokens=max_tokens)
    return codec.decode(target, generated.ids)
