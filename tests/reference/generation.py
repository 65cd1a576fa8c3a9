"""Cases of generation: greedy sequences with and without guidance, and one step of a grid that is known in part."""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from modalities.text import SENTINEL_0
from networks.batch import TokenBatch
from networks.fourm import FourM
from networks.generation.predict import predict_sequence
from networks.streams import Stream, StreamKind
from tests.reference.batch import published_batch
from tests.reference.check import ACTIVATION, Check, compared, equal

START, END = SENTINEL_0 + 1, SENTINEL_0 + 2


def is_generation_case(io: Mapping[str, Tensor]) -> bool:
    """True for what a sampler answered."""
    return any(re.match(r"output/(greedy|.+_logits$)", name) for name in io)


def check_generation(case: str, model: FourM, io: Mapping[str, Tensor]) -> Iterator[Check]:
    """Every answer in ``io``."""
    caption = next(stream for stream in model.streams if stream.kind is StreamKind.sequence and stream.is_target)
    known = {
        stream.published: io[f"input/{stream.published.partition('@')[0]}_known"]
        for stream in model.streams
        if f"input/{stream.published.partition('@')[0]}_known" in io
    }
    given = {
        stream.published: io[f"input/{stream.published}"]
        for stream in model.streams
        if f"input/{stream.published}" in io and stream.published not in known
    }
    for name, expected in io.items():
        found = re.match(r"output/greedy(?:_cfg_([\d.]+))?$", name)
        if found:
            scale = float(found[1]) if found[1] else None
            yield _greedy(case, model, given, caption, scale, expected)
    for name, places in known.items():
        stream = next(stream for stream in model.streams if stream.published == name)
        short = name.partition("@")[0].removeprefix("tok_")
        yield _one_step(case, model, {**given, name: io[f"input/{name}"]}, stream, places, io, short)


def _greedy(
    case: str,
    model: FourM,
    given: Mapping[str, Tensor],
    target: Stream,
    scale: float | None,
    expected: Tensor,
) -> Check:
    length = expected.shape[1] - 1
    if scale is None:
        batch = _shown(model, given, {}, target, len(expected))
        context = model.encode(batch)
        written = predict_sequence(model, context, target.name, start=START, end=END, max_tokens=length).ids
    else:
        written = _guided(model, given, target, scale, length, len(expected))
    return equal(case, f"{target.published} greedy{f' guided {scale}' if scale else ''}", written, _until_end(expected))


@torch.no_grad()
def _guided(
    model: FourM, given: Mapping[str, Tensor], target: Stream, scale: float, length: int, b: int
) -> list[list[int]]:
    """The most likely ids of ``l_u + scale (l_c - l_u)``, l_u without what is given, every step from the start."""
    contexts = [model.encode(_shown(model, shown, {}, target, b)) for shown in (given, {})]
    ids = torch.full((b, 1), START)
    for _ in range(length):
        place = torch.arange(ids.shape[1]).expand_as(ids)
        causal = torch.ones(ids.shape[1], ids.shape[1]).tril().bool()[None, None]
        logits = []
        for context in contexts:
            x = model.embed_targets(ids, torch.full_like(ids, model.index[target.name]), place)
            for block, seen in zip(model.decoder, model.look_at(context), strict=True):
                x, _ = block(x, seen, mask=causal.expand(b, -1, -1, -1), context_mask=context.mask)
            logits.append(model.logits_of(model.decoder_norm(x)[:, -1], target.name))
        conditional, unconditional = logits
        best = (unconditional + scale * (conditional - unconditional)).argmax(dim=-1)
        ids = torch.cat([ids, best[:, None]], dim=1)
    return _until_end(ids)


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
    context = model.encode(_shown(model, given, {stream.published: known}, None, len(positions)))
    x = model.embed_targets(
        torch.zeros_like(positions), torch.full_like(positions, model.index[stream.name]), positions
    )
    decoded, _ = model.step(x, model.look_at(context), context.mask, None)
    return compared(case, f"{stream.published} logits of one step", model.logits_of(decoded, stream.name), expected, ACTIVATION)


def _until_end(rows: Tensor) -> list[list[int]]:
    """Each row between its start and its end; what a batch's sampler wrote behind the end has no meaning."""
    kept = []
    for row in rows[:, 1:].tolist():
        kept.append(row[: row.index(END)] if END in row else row)
    return kept


def _shown(
    model: FourM, given: Mapping[str, Tensor], known: Mapping[str, Tensor], prompted: Stream | None, b: int
) -> TokenBatch:
    """A batch that shows what is given, of grids that are known in part those places, and the start of a sequence."""
    io: dict[str, Tensor] = {}
    for stream in model.streams:
        name = stream.published
        if stream is prompted:
            value, hidden = torch.full((b, 1), START), torch.zeros(b, 1, dtype=torch.bool)
        elif name in given:
            value = given[name]
            places = stream.num_tokens if stream.kind is not StreamKind.embedding else value.shape[1]
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
