"""Writes a case of generation: what a plain sampler, which starts over for every token, makes of random weights."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.reference.own.model import PlainModel, VisibleTokens
from tests.reference.own.model_case import START, plain, visible_tokens, write_checkpoint
from tests.reference.own.weights import Setting, random_weights

LENGTH, TARGET, GRID = 8, "caption", "tok_semseg@224"


def write_generation_case(folder: Path, setting: Setting, seed: int, scale: float, batch: int = 3) -> None:
    """The likeliest captions from all other inputs, with and without guidance, and one step of a grid known in part."""
    weights = random_weights(setting, seed)
    write_checkpoint(folder, setting, weights)
    model = plain(setting, {name: value.double() for name, value in weights.items()})
    generator = torch.Generator().manual_seed(seed)
    pixels, depth = setting.domains_in["rgb@224"], setting.domains_in["tok_depth@224"]
    side = pixels.side * pixels.patch  # type: ignore[union-attr]
    places = depth.side**2  # type: ignore[union-attr]
    io = {
        "input/rgb@224": torch.randn(batch, 3, side, side, generator=generator),
        "input/tok_depth@224": torch.randint(depth.vocab_size, (batch, places), generator=generator),
        "input/tok_semseg@224": torch.randint(
            setting.domains_in[GRID].vocab_size, (batch, places), generator=generator
        ),
        "input/tok_semseg_known": torch.tensor([0, 2]),
    }
    left = tuple(place for place in range(places) if place not in (0, 2))
    greedy, apply_guidance, logits = [], [], []
    for sample in range(batch):
        given = _given(setting, io, sample)
        greedy.append(_greedy_ids(model, given, None))
        apply_guidance.append(_greedy_ids(model, given, scale))
        known = VisibleTokens(ids=tuple(int(io[f"input/{GRID}"][sample, place]) for place in (0, 2)), positions=(0, 2))
        _, context = model.encode({**given, GRID: known})
        logits.append(model.logits(model.decode(context, GRID, None, left), GRID))
    io |= {
        "output/greedy": torch.tensor(greedy),
        f"output/greedy_cfg_{scale}": torch.tensor(apply_guidance),
        "output/semseg_positions": torch.tensor([left] * batch),
        "output/semseg_logits": torch.stack(logits).float(),
    }
    save_file({name: value.contiguous() for name, value in io.items()}, folder / "io.safetensors")


def _given(setting: Setting, io: dict[str, Tensor], sample: int) -> dict[str, VisibleTokens]:
    """Pixels and depth, whole."""
    whole = {}
    for name in ("rgb@224", "tok_depth@224"):
        kind = setting.domains_in[name]
        hidden = torch.zeros(len(io[f"input/{name}"]), kind.side**2, dtype=torch.bool)  # type: ignore[union-attr]
        rows = {f"input/{name}/tensor": io[f"input/{name}"], f"input/{name}/input_mask": hidden}
        whole[name] = visible_tokens(kind, name, rows, sample)
    return whole


def _greedy_ids(model: PlainModel, given: dict[str, VisibleTokens], scale: float | None) -> list[int]:
    prompt = {TARGET: VisibleTokens(ids=(START,), positions=(0,))}
    contexts = [model.encode({**given, **prompt})[1], model.encode(prompt)[1]]
    ids = [START]
    for _ in range(LENGTH):
        rows = []
        for context in contexts:
            decoded = model.decode(context, TARGET, tuple(ids), tuple(range(len(ids))))
            rows.append(model.logits(decoded[-1:], TARGET)[0])
        splitmix64 = rows[0] if scale is None else rows[1] + scale * (rows[0] - rows[1])
        ids.append(int(splitmix64.argmax()))
    return ids
