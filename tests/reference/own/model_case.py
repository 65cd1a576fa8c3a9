"""Writes a case of a 4M model: random weights, a masked batch, and what the plain implementation makes of it."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.reference.own.model import PlainModel, VisibleTokens, double, mean_loss, patches
from tests.reference.own.weights import Grid, Sequence, Setting, random_weights

START = 5
"""Id of the first sentinel."""


def write_model_case(folder: Path, setting: Setting, seed: int, batch: int = 2) -> None:
    """Weights, config, layout, inputs and outputs."""
    weights = random_weights(setting, seed)
    write_checkpoint(folder, setting, weights)
    order = list(setting.all_domains)
    (folder / "layout.json").write_text(json.dumps({"modalities": order}))
    generator = torch.Generator().manual_seed(seed + 1)
    io: dict[str, Tensor] = {}
    for name, kind in setting.all_domains.items():
        is_in, is_out = name in setting.domains_in, name in setting.domains_out
        io |= _inputs(name, kind, batch, generator, is_input=is_in, is_target=is_out)
    model = plain(setting, double(weights))
    io |= _outputs(model, setting, io, batch, order)
    save_file({name: value.contiguous() for name, value in io.items()}, folder / "io.safetensors")


def write_checkpoint(folder: Path, setting: Setting, weights: dict[str, Tensor]) -> None:
    """A published file, its config in the metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"config": json.dumps(setting.config())}
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors", metadata)


def plain(setting: Setting, weights: dict[str, Tensor]) -> PlainModel:
    """The plain model of a setting."""
    return PlainModel(
        weights=weights,
        heads=setting.heads,
        encoder_depth=setting.encoder_depth,
        decoder_depth=setting.decoder_depth,
    )


def _inputs(
    name: str, kind: Grid | Sequence, batch: int, generator: torch.Generator, *, is_input: bool, is_target: bool
) -> dict[str, Tensor]:
    """A masked batch of one modality: some places visible, some asked for. Each sample has another number of them."""
    rows: list[Tensor] = []
    length = kind.side**2 if isinstance(kind, Grid) else 12
    hidden = torch.ones(batch, length, dtype=torch.bool)
    not_target = torch.ones(batch, length, dtype=torch.bool)
    for sample in range(batch):
        seen = 1 + int(torch.randint(3, (), generator=generator)) if is_input else 0
        num_targets = (int(torch.randint(4, (), generator=generator)) + sample % 2) if is_target else 0
        if isinstance(kind, Grid):
            places = torch.randperm(length, generator=generator)
            hidden[sample, places[:seen]] = False
            not_target[sample, places[seen : seen + num_targets]] = False
            side = kind.side * kind.patch
            drawn = torch.randn(3, side, side, generator=generator)
            rows.append(drawn if kind.patch else torch.randint(kind.vocab_size, (length,), generator=generator))
        else:
            # What is visible comes first, what is asked for behind it, as the published loader lays them out.
            hidden[sample, :seen] = False
            not_target[sample, seen : seen + num_targets + 1 if num_targets else seen] = False
            drawn = torch.randn(length, max(kind.channels, 1), generator=generator)
            rows.append(drawn if kind.channels else torch.randint(1, kind.vocab_size, (length,), generator=generator))
    prefix = f"input/{name}"
    return {f"{prefix}/tensor": torch.stack(rows), f"{prefix}/input_mask": hidden, f"{prefix}/target_mask": not_target}


def _outputs(
    model: PlainModel, setting: Setting, io: dict[str, Tensor], batch: int, order: list[str]
) -> dict[str, Tensor]:
    encoded, contexts, decoded = [], [], []
    logits: dict[str, list[Tensor]] = {name: [] for name in setting.domains_out}
    targets: dict[str, list[int]] = {name: [] for name in setting.domains_out}
    for sample in range(batch):
        shown = {name: visible_tokens(kind, name, io, sample) for name, kind in setting.domains_in.items()}
        answer, context = model.encode(shown)
        encoded.append((answer[model.num_registers :], [order.index(n) for n, s in shown.items() for _ in s.positions]))
        contexts.append(context[model.num_registers :])
        parts: list[tuple[Tensor, list[int]]] = []
        for name in setting.domains_out:
            ids, places, target_ids = _decoder_tokens(setting.all_domains[name], name, io, sample)
            if places:
                part = model.decode(context, name, ids, places)
                parts.append((part, [order.index(name)] * len(places)))
                logits[name] += list(model.logits(part, name))
                targets[name] += target_ids
        width = model.weights["mask_token"].shape[-1]
        joined = torch.cat([part for part, _ in parts]) if parts else torch.zeros(0, width, dtype=torch.float64)
        decoded.append((joined, [number for _, numbers in parts for number in numbers]))
    losses = {name: mean_loss(rows, targets[name]) for name, rows in logits.items() if rows}
    total = torch.stack(list(losses.values())).sum() / len(setting.domains_out)
    weighted = {name: len(targets[name]) * setting.all_domains[name].vocab_size for name in losses}
    by_token = sum(losses[name] * weighted[name] for name in losses) / sum(weighted.values())
    total.backward()
    out: dict[str, Tensor] = {"output/loss_mod": total, "output/loss_token": torch.as_tensor(by_token)}
    for name in setting.domains_out:
        vocab_size = setting.all_domains[name].vocab_size
        out[f"output/logits/{name}"] = torch.stack(logits[name]) if logits[name] else torch.zeros(0, vocab_size)
        out[f"output/loss/{name}"] = losses.get(name, torch.zeros(()))
    out |= _padded("encoder", [rows for rows, _ in encoded], [numbers for _, numbers in encoded])
    out |= _padded("context", contexts, [numbers for _, numbers in encoded])
    out |= _padded("decoder", [rows for rows, _ in decoded], [numbers for _, numbers in decoded])
    out |= _norms(model, setting)
    return {name: value.detach().float() if value.is_floating_point() else value for name, value in out.items()}


def visible_tokens(kind: Grid | Sequence, name: str, io: dict[str, Tensor], sample: int) -> VisibleTokens:
    """What the encoder is shown of one modality of one sample."""
    values = io[f"input/{name}/tensor"][sample]
    visible = [place for place, flag in enumerate(io[f"input/{name}/input_mask"][sample].tolist()) if not flag]
    positions = tuple(visible) if isinstance(kind, Grid) else tuple(range(len(visible)))
    if isinstance(kind, Grid) and kind.patch:
        return VisibleTokens(rows=patches(values.double(), kind.patch)[visible], positions=positions)
    if isinstance(kind, Sequence) and kind.channels:
        return VisibleTokens(rows=values.double()[visible], positions=positions)
    return VisibleTokens(ids=tuple(int(values.flatten()[place]) for place in visible), positions=positions)


def _decoder_tokens(
    kind: Grid | Sequence, name: str, io: dict[str, Tensor], sample: int
) -> tuple[tuple[int, ...] | None, tuple[int, ...], list[int]]:
    """What the decoder is given, at which places, and what it should say there."""
    values = io[f"input/{name}/tensor"][sample].flatten()
    places = [place for place, flag in enumerate(io[f"input/{name}/target_mask"][sample].tolist()) if not flag]
    ids = [int(values[place]) for place in places]
    if isinstance(kind, Grid):
        return None, tuple(places), ids
    return tuple(ids[:-1]), tuple(range(max(len(ids) - 1, 0))), ids[1:]


def _padded(name: str, rows: list[Tensor], numbers: list[list[int]]) -> dict[str, Tensor]:
    most = max(len(item) for item in rows)
    values = torch.stack([torch.nn.functional.pad(item, (0, 0, 0, most - len(item))) for item in rows])
    modality = torch.tensor([item + [-1] * (most - len(item)) for item in numbers])
    return {f"output/{name}": values, f"output/{'encoder' if name == 'context' else name}_modality": modality}


def _norms(model: PlainModel, setting: Setting) -> dict[str, Tensor]:
    """Norms of the gradients of what is a parameter in the published code."""
    out: dict[str, Tensor] = {}
    for name, value in model.weights.items():
        if name.endswith("pos_emb") and not setting.all_domains[name.split(".")[1]].learned:
            continue
        if name.endswith(".bias") and "norm" in name.split(".")[-2] and not setting.norm_bias:
            continue
        if name.startswith("decoder_embeddings") and name.endswith("mod_emb") and _is_shared(name, model):
            continue
        gradient = value.grad if value.grad is not None else torch.zeros_like(value)
        out[f"grad_norm/{name}"] = gradient.norm()
    return out


def _is_shared(name: str, model: PlainModel) -> bool:
    return name.replace("decoder", "encoder", 1) in model.weights
