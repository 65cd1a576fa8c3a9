"""4M's forward pass written out one slot at a time in numpy: the independent reference of `networks.fourm`."""

import numpy as np
from numpy.typing import NDArray

from networks.batch import TokenBatch
from networks.fourm.model import FourM
from networks.layers.positions import sincos_1d, sincos_2d
from networks.streams import GridStream, PixelStream, SequenceStream, token_stream

Array = NDArray[np.float64]


def _norm(x: Array, weight: Array, eps: float = 1e-6) -> Array:
    centered = x - x.mean(-1, keepdims=True)
    normed: Array = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps) * weight
    return normed


def _attention(query: Array, key: Array, value: Array, attention_mask: NDArray[np.bool_], heads: int) -> Array:
    m, d = query.shape
    e = d // heads
    out = np.zeros((m, d))
    for head in range(heads):
        part = slice(head * e, (head + 1) * e)
        for row in range(m):
            scores = key[:, part] @ query[row, part] / np.sqrt(e)
            scores = np.where(attention_mask[row], scores, -np.inf)
            weights = np.exp(scores - scores.max())
            out[row, part] = weights / weights.sum() @ value[:, part]
    return out


def _mlp(x: Array, weights: dict[str, Array], prefix: str) -> Array:
    gate, hidden = np.split(x @ weights[prefix + "up.weight"].T, 2, axis=-1)
    output: Array = (gate / (1 + np.exp(-gate)) * hidden) @ weights[prefix + "down.weight"].T
    return output


def _position_embedding(model: FourM, weights: dict[str, Array], stream: int, position: int) -> Array:
    width = model.config.shape[0]
    stream_info = model.streams[stream]
    code = weights["position_embedding.stream"][stream]
    if isinstance(stream_info, GridStream) and stream_info.grid is None:
        place: Array = weights["position_embedding.learned"][1 + position]
    elif isinstance(stream_info, GridStream | PixelStream):
        assert stream_info.grid is not None
        place = sincos_2d(stream_info.grid, width).double().numpy()[position]
    else:
        place = sincos_1d(64, width).double().numpy()[position]
    summed: Array = code + place
    return summed


def plain_logits(model: FourM, batch: TokenBatch, sample: int) -> list[Array | None]:
    """Logits of every decoder slot of one sample; None for padding. Assumes one learnt stream, gated, no biases."""
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    _, heads, encoder_depth, decoder_depth = model.config.shape
    first = {name: span[0] for name, span in model.tokens.spans.items()}
    packed = {
        int(slot): (name, rows.values[number].numpy())
        for name, rows in batch.rows.items()
        for number, slot in enumerate(rows.slots.tolist())
    }
    inputs, places = [], []
    n = batch.ids.shape[1]
    for slot in range(n):
        if not batch.visible[sample, slot]:
            continue
        stream, position = int(batch.stream[sample, slot]), int(batch.position[sample, slot])
        if sample * n + slot in packed:
            name, row = packed[sample * n + slot]
            vector = weights[f"input_projections.{name}.linear.weight"] @ row
        else:
            token = first[token_stream(model.streams[stream]).vocabulary] + int(batch.ids[sample, slot])
            vector = weights["tokens.table"][token]
        places.append(_position_embedding(model, weights, stream, position))
        inputs.append(vector + places[-1])
    x = np.stack(inputs)
    full_mask = np.ones((len(x), len(x)), dtype=bool)
    for depth in range(encoder_depth):
        prefix = f"encoder.{depth}."
        query, key, value = np.split(
            _norm(x, weights[prefix + "attention_norm.weight"]) @ weights[prefix + "attention.qkv.weight"].T, 3, axis=-1
        )
        x = x + _attention(query, key, value, full_mask, heads) @ weights[prefix + "attention.out.weight"].T
        x = x + _mlp(_norm(x, weights[prefix + "mlp_norm.weight"]), weights, prefix + "mlp.")
    context = _norm(x, weights["encoder_norm.weight"]) @ weights["context_projection.weight"].T + np.stack(places)
    return _decode(model, batch, sample, weights, context, decoder_depth)


def _decode(
    model: FourM, batch: TokenBatch, sample: int, weights: dict[str, Array], context: Array, depth: int
) -> list[Array | None]:
    heads = model.config.shape[1]
    slots = [slot for slot in range(batch.targets.shape[1]) if batch.decoder_visible[sample, slot]]
    streams = [int(batch.decoder_stream[sample, slot]) for slot in slots]
    given = []
    for slot, stream in zip(slots, streams, strict=True):
        place = _position_embedding(model, weights, stream, int(batch.decoder_position[sample, slot]))
        if isinstance(model.streams[stream], SequenceStream):
            first = model.tokens.spans[token_stream(model.streams[stream]).vocabulary][0]
            given.append(weights["decoder_token_embedding.table"][first + int(batch.decoder_ids[sample, slot])] + place)
        else:
            given.append(weights["mask_token"] + place)
    y = np.stack(given)
    attention_mask = np.array(
        [
            [
                streams[row] == streams[column]
                and (isinstance(model.streams[streams[row]], GridStream) or column <= row)
                for column in range(len(slots))
            ]
            for row in range(len(slots))
        ]
    )
    full_mask = np.ones((len(slots), len(context)), dtype=bool)
    for number in range(depth):
        prefix = f"decoder.{number}."
        normed = _norm(y, weights[prefix + "attention_norm.weight"])
        query, key, value = np.split(normed @ weights[prefix + "attention.qkv.weight"].T, 3, axis=-1)
        y = y + _attention(query, key, value, attention_mask, heads) @ weights[prefix + "attention.out.weight"].T
        query = _norm(y, weights[prefix + "query_norm.weight"]) @ weights[prefix + "cross.query.weight"].T
        key_value = (
            _norm(context, weights[prefix + "context_norm.weight"]) @ weights[prefix + "cross.key_value.weight"].T
        )
        key, value = np.split(key_value, 2, axis=-1)
        y = y + _attention(query, key, value, full_mask, heads) @ weights[prefix + "cross.out.weight"].T
        y = y + _mlp(_norm(y, weights[prefix + "mlp_norm.weight"]), weights, prefix + "mlp.")
    y = _norm(y, weights["decoder_norm.weight"])
    output: list[Array | None] = [None] * batch.targets.shape[1]
    for row, slot in enumerate(slots):
        first, size = model.tokens.spans[token_stream(model.streams[streams[row]]).vocabulary]
        output[slot] = weights["heads.table"][first : first + size] @ y[row]
    return output
