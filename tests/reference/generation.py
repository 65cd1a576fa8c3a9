"""Cases of generation: greedy sequences with and without guidance, and one step of a grid that is known in part."""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from modalities.vocabulary import SENTINEL_0_ID
from networks.batch import PaddedTokens, TokenBatch
from networks.fourm.model import FourM
from networks.generation.config import DecodingConfig, GenerationConfig
from networks.generation.generate import generate_iter
from networks.generation.inputs import ConditionInput
from networks.generation.schedules import Temperature
from networks.streams import EmbeddingStream, PixelStream, SequenceStream, Stream
from tests.reference.batch import published_batch, sample_rows
from tests.reference.check import ACTIVATION, Check, compare_tensors, compare_values

END_SENTINEL = SENTINEL_0_ID + 2


def is_generation_case(io: Mapping[str, Tensor]) -> bool:
    """True for what a sampler answered."""
    return any(re.match(r"output/(greedy|.+_logits$)", name) for name in io)


def check_generation(case: str, model: FourM, io: Mapping[str, Tensor]) -> Iterator[Check]:
    """Every answer in ``io``."""
    caption = next(stream for stream in model.streams if isinstance(stream, SequenceStream) and stream.is_target)
    known = {
        stream.published_name: io[f"input/{stream.published_name.partition('@')[0]}_known"]
        for stream in model.streams
        if f"input/{stream.published_name.partition('@')[0]}_known" in io
    }
    given = {
        stream.published_name: io[f"input/{stream.published_name}"]
        for stream in model.streams
        if f"input/{stream.published_name}" in io and stream.published_name not in known
    }
    for name, expected in io.items():
        found = re.match(r"output/greedy(?:_cfg_([\d.]+))?$", name)
        if found:
            scale = float(found[1]) if found[1] else None
            yield _greedy(case, model, given, caption, scale, expected)
    for name, places in known.items():
        stream = next(stream for stream in model.streams if stream.published_name == name)
        short = name.partition("@")[0].removeprefix("tok_")
        yield _one_step(case, model, {**given, name: io[f"input/{name}"]}, stream, places, io, short)


def _greedy(
    case: str, model: FourM, given: Mapping[str, Tensor], target: Stream, scale: float | None, expected: Tensor
) -> Check:
    """What the sampler writes, the likeliest token at a time, each sample up to its end."""
    plan = GenerationConfig(
        default=DecodingConfig(temperature=Temperature(start=0.0), guidance=1.0 if scale is None else scale)
    )
    inputs = {
        stream.name: _given(stream, given[stream.published_name])
        for stream in model.streams
        if stream.published_name in given
    }
    states = generate_iter(model, inputs, [target.name], plan, torch.Generator())
    *_, last = [state.written for state in states if state.written is not None]
    length = expected.shape[1] - 1
    found = _truncate_at_end([row[:length] for row in last.rows()])
    quantity = f"{target.published_name} greedy{f' guided {scale}' if scale else ''}"
    return compare_values(case, quantity, found, _truncate_at_end(expected[:, 1:].tolist()))


def _given(stream: Stream, values: Tensor) -> ConditionInput:
    """A whole modality as the sampler takes it."""
    if isinstance(stream, PixelStream):
        rows = torch.stack([sample_rows(stream, image) for image in values])
    else:
        rows = values if isinstance(stream, EmbeddingStream) else values.flatten(1).long()
    return ConditionInput(tokens=PaddedTokens(values=rows, lengths=torch.full((len(rows),), rows.shape[1])))


@torch.no_grad()
def _one_step(
    case: str,
    model: FourM,
    given: Mapping[str, Tensor],
    stream: Stream,
    known: Tensor,
    io: Mapping[str, Tensor],
    short: str,
) -> Check:
    positions, expected = io[f"output/{short}_positions"].long(), io[f"output/{short}_logits"]
    context = model.encode(_visible_batch(model, given, {stream.published_name: known}, len(positions)))
    x = model.embed_targets(
        torch.zeros_like(positions), torch.full_like(positions, model.index[stream.name]), positions
    )
    decoded, _ = model.decode_step(x, model.cross_attention_kv(context), None)
    logits = model.stream_logits(decoded, stream.name)
    return compare_tensors(case, f"{stream.published_name} logits of one step", logits, expected, ACTIVATION)


def _truncate_at_end(rows: list[list[int]]) -> list[list[int]]:
    """Each row before its end; what a batch's sampler wrote behind the end has no meaning."""
    return [row[: row.index(END_SENTINEL)] if END_SENTINEL in row else row for row in rows]


def _visible_batch(model: FourM, given: Mapping[str, Tensor], known: Mapping[str, Tensor], b: int) -> TokenBatch:
    """A batch that shows what is given, of grids that are known in part those places."""
    io: dict[str, Tensor] = {}
    for stream in model.streams:
        name = stream.published_name
        if name in given:
            value = given[name]
            places = stream.num_tokens if not isinstance(stream, EmbeddingStream) else value.shape[1]
            hidden = torch.zeros(b, places, dtype=torch.bool)
            if name in known:
                hidden[:] = True
                hidden[:, known[name].long()] = False
        else:
            continue
        io |= {
            f"input/{name}/tensor": value,
            f"input/{name}/input_mask": hidden,
            f"input/{name}/target_mask": torch.ones_like(hidden),
        }
    return published_batch(io, model.streams)
