"""The cases that are JSON files: spelling written out by hand, spans token by token, budgets sample by sample."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

NUM_DRAWS = 2000

FIRST_WORD = 4284
"""Ids of ordinary words begin here."""


def write_files(folder: Path) -> None:
    """One file of each kind, under names that say nothing."""
    contents = {"one": serialization_cases(), "two": spans(), "three": budgets(), "four": schedules()}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def serialization_cases() -> dict[str, list[dict[str, Any]]]:
    """Values and their text as section 2.1 and appendix D of the 4M-21 paper describe them, worked out by hand."""
    boxes = [
        {"boxes": [0.5, 0.25, 1, 0.75], "class_name": "dog", "score": 0.9},
        {"boxes": [0.1, 0.2, 0.3, 0.4], "class_name": "car", "score": 0.6},
        {"boxes": [0.0, 0.0, 0.3, 0.4], "class_name": "cat", "score": 0.3},
    ]
    # 0.5 of 999 is 499.5, which rounds to the even 500; 0.75 is 749.25, 0.25 is 249.75.
    box_text = "v0=100 v1=200 v2=300 v3=400 car v0=500 v1=250 v2=999 v3=749 dog"
    rotation = [1, 0, 0, 0, 1, 0, 0, 0, -1]
    turned = " ".join(f"v0={number}" for number in (999, 500, 500, 500, 999, 500, 500, 500, 0))
    codes = [0, 511, 512, 1023, 5, 6, 7, 8]
    coded = "v0=0 v0=511 v1=0 v1=511 v0=5 v0=6 v0=7 v0=8"
    human = ["human", 0.1, 0.2, 0.3, 0.4, "global", *rotation, "pose", *codes, "shape", *[3] * 10, "camera", 19, -1, -1]
    pose_text = (
        f"human v0=100 v1=200 v2=300 v3=400 camera v0=999 v0=0 v0=0 pose {coded} "
        f"shape {' '.join(['v0=999'] * 10)} global {turned}"
    )
    mask = [0, 512, *range(14)]
    coded_mask = " ".join(["v0=0", "v1=0", *[f"v0={code}" for code in range(14)]])
    instance = {"tokens": mask, "bbox_ymin_xmin_ymax_xmax": [1.0, 2.0, 3.0, 4.0]}
    points = [{"x": 9, "y": 8, "instances": [instance]}, {"x": 0, "y": 1, "instances": []}]
    sam_text = f"point v0=8 v1=9 polygon v0=2 v1=1 v2=4 v3=3 {coded_mask} point v0=1 v1=0 none"
    facts = {"original_width": 640, "n_humans": 3, "brightness": 127.5, "walkability": 1.0, "occlusion_score": 0.125}
    # 640 / 32; 127.5 / 255 * 49 = 24.5, cut; 1 * 49; 0.125 / 0.25 * 49 = 24.5, cut.
    chunks = ["v1=0 v0=20", "v1=5 v0=3", "v1=10 v0=24", "v1=14 v0=49", "v1=18 v0=24"]
    return {
        "boxes": [{"instances": boxes, "text": box_text, "ids": _ids(box_text, {"car": 4222, "dog": 4232})}],
        "metadata": [{"metadata": facts, "chunks": chunks, "ids": [_ids(chunk, {}) for chunk in chunks]}],
        "human_poses": [
            {
                "humans": [human],
                "group_order": ["camera", "pose", "shape", "global"],
                "text": pose_text,
                "ids": _ids(pose_text, {}),
            }
        ],
        "color_palette": [{"rgb": [0, 255, 7], "text": "v1=1 v0=0 v0=255 v0=7", "ids": [1205, 204, 459, 211]}],
        "sam_instances": [{"points": points, "text": sam_text, "ids": _ids(sam_text, {})}],
    }


def _ids(text: str, words: dict[str, int]) -> list[int]:
    """Ids by the published rule: 204 for ``v0=0``, a thousand for each axis; any id above for words without one."""
    found = []
    for word in text.split():
        if word.startswith("v") and "=" in word:
            axis, number = word[1:].split("=")
            found.append(204 + 1000 * int(axis) + int(number))
        else:
            found.append(words.get(word, FIRST_WORD + len(word)))
    return found


def spans() -> dict[str, Any]:
    """Sentinels put in one token at a time."""
    tokens, chunks = [], []
    rng = np.random.default_rng(0)
    for length in range(1, 12):
        sequence, masked = rng.integers(300, 900, length).tolist(), (rng.random(length) < 0.5).tolist()
        visible, target = _split([[token] for token in sequence], masked)
        tokens.append({"sequence": sequence, "masked": masked, "input": visible, "target": target, "merged": sequence})
        parts = [rng.integers(300, 900, 2).tolist() for _ in range(length)]
        visible, target = _split(parts, masked)
        chunks.append({"chunks": parts, "masked": masked, "input": visible, "target": target})
    return {"token_level": tokens, "chunk_level": chunks}


def _split(chunks: list[list[int]], masked: list[bool]) -> tuple[list[int], list[int]]:
    visible, target, sentinel, previous = [], [], 5, False
    for chunk, hidden in zip(chunks, masked, strict=True):
        if hidden and not previous:
            visible.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        (target if hidden else visible).extend(chunk)
        previous = hidden
    return visible, [*target, sentinel]


def budgets() -> dict[str, Any]:
    """Statistics of budgets that are dealt one sample at a time."""
    sizes = {"caption": 20, "rgb@224": 16, "tok_rgb@224": 16, "tok_depth@224": 9}
    rng, names = np.random.default_rng(5), list(sizes)
    caps = np.array(list(sizes.values()))
    is_grid = np.array([name.startswith("tok_") for name in names])
    target_alpha = np.array([0.0 if name == "rgb@224" else 0.7 for name in names])
    inputs, targets = [], []
    for _ in range(NUM_DRAWS):
        inputs.append(_sample_budget(np.full(4, 0.4), 24, caps, rng))
        targets.append(_sample_budget(target_alpha, 18, np.where(is_grid, caps - inputs[-1], caps), rng))
    return {
        "setting": {
            "draws": NUM_DRAWS,
            "input_alpha": 0.4,
            "target_alpha": 0.7,
            "num_input": 24,
            "num_target": 18,
            "max_tokens": sizes,
            "input": _statistics(np.array(inputs), names),
            "target": _statistics(np.array(targets), names),
        }
    }


def _sample_budget(alpha: np.ndarray, total: int, caps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shares of a total rounded down, the rest dealt token by token to winners of further draws, cut at the caps."""
    floor = np.maximum(alpha, 1e-9)
    budget = np.floor(rng.dirichlet(floor) * total).astype(int)
    for _ in range(total - budget.sum()):
        budget[rng.dirichlet(floor).argmax()] += 1
    capped: np.ndarray = np.minimum(budget, caps)
    return capped


def _statistics(values: np.ndarray, names: list[str]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "mean": float(column.mean()),
            "std": float(column.std()),
            "p_zero": float((column == 0).mean()),
            "max": int(column.max()),
        }
        for name, column in zip(names, values.T, strict=True)
    }


def schedules() -> dict[str, dict[str, Any]]:
    """Tokens from the cumulated cosine, and temperatures in proportion to what is left."""
    total = [784 * (1 - math.cos(math.pi * step / 8)) / 2 for step in range(9)]
    cosine = [round(after - before) for before, after in pairwise(total)]
    linear = [2.0 * (10 - done) / 10 for done in (0, 4, 7)]
    return {
        "tokens_per_step": {"cosine:8:784": cosine, "linear:3:10": [4, 3, 3]},
        "temperature_per_step": {"linear:2.0:3:10": linear},
    }
