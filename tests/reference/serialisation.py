"""Cases of spelling: structured values, their text, and its ids in the published vocabulary."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modalities.builtin import color_palette, human_poses, sam_instances
from modalities.geometry.boxes import Box
from modalities.geometry.poses import Pose, rest_pose
from modalities.registry import default_registry
from modalities.spec import SequenceModality
from networks.tokenizers.text import TextTokenizer
from tests.reference.check import Check, compare_values

KINDS = ("boxes", "metadata", "human_poses", "color_palette", "sam_instances")


def is_serialization(content: Any) -> bool:
    """True for lists of cases by kind."""
    return isinstance(content, dict) and any(
        isinstance(content.get(kind), list) and content[kind] and isinstance(content[kind][0], dict) for kind in KINDS
    )


def check_serialization(case: str, content: Mapping[str, Any]) -> Iterator[Check]:
    """Text and ids of every kind."""
    tokenizer = TextTokenizer.train(["a word"])
    spellers = {
        "boxes": _boxes,
        "metadata": _metadata,
        "human_poses": _poses,
        "color_palette": _palette,
        "sam_instances": _instances,
    }
    for kind, spell in spellers.items():
        cases = content.get(kind, [])
        if not cases:
            continue
        expected = [sorted(item["chunks"]) if "chunks" in item else item["text"].strip() for item in cases]
        yield compare_values(case, f"{kind} text", [spell(item) for item in cases], expected)
        yield compare_values(case, f"{kind} ids", [_ids(tokenizer, item) for item in cases], [True] * len(cases))


def _modality(name: str) -> SequenceModality:
    modality = default_registry()[name]
    assert isinstance(modality, SequenceModality)
    return modality


def _boxes(item: Mapping[str, Any]) -> str:
    value = [
        Box(box=tuple(box["boxes"]), class_name=box["class_name"], score=box["score"]) for box in item["instances"]
    ]
    return _modality("bounding_boxes").serialize(value, np.random.default_rng(0))


def _metadata(item: Mapping[str, Any]) -> list[str]:
    words = _modality("metadata").serialize(item["metadata"], np.random.default_rng(0)).split()
    return sorted(f"{kind} {number}" for kind, number in zip(words[::2], words[1::2], strict=True))


def _poses(item: Mapping[str, Any]) -> str:
    people = []
    for row in item["humans"]:
        at = {name: row.index(name) + 1 for name in human_poses.PARAMETER_GROUPS}
        pose = Pose(
            box=tuple(row[1:5]),
            global_orient=np.array(row[at["global"] :][:9], dtype=np.float32).reshape(3, 3),
            body_pose=rest_pose().body_pose,
            betas=np.array(row[at["shape"] :][:10], dtype=np.float32),
            camera=np.array(row[at["camera"] :][:3], dtype=np.float32),
        )
        people.append(human_poses.person_tokens(pose, row[at["pose"] :][:8], item["group_order"]))
    return " ".join(people) or "none"


def _palette(item: Mapping[str, Any]) -> str:
    return color_palette.palette_tokens([tuple(color) for color in np.array(item["rgb"]).reshape(-1, 3).tolist()])


def _instances(item: Mapping[str, Any]) -> str:
    points = []
    for point in item["points"]:
        hits = []
        for found in point["instances"]:
            ymin, xmin, ymax, xmax = (int(edge) for edge in found["bbox_ymin_xmin_ymax_xmax"])
            hits.append(((xmin, ymin, xmax, ymax), found["tokens"]))
        points.append(sam_instances.query_point_tokens(point["y"], point["x"], hits))
    return " ".join(points)


def _ids(tokenizer: TextTokenizer, item: Mapping[str, Any]) -> bool:
    """True where every special token has its published id, and every other word one id of its own above them.

    The published vocabulary of words is not part of this project: ``human`` has no id here to compare with.
    """
    texts: Sequence[str] = item.get("chunks", [item.get("text", "")])
    rows: Sequence[Sequence[int]] = item["ids"] if "chunks" in item else [item["ids"]]
    ours = tokenizer.encode_batch(list(texts))
    words: dict[int, int] = {}
    for text, row, theirs in zip(texts, ours, rows, strict=True):
        if _has_words(text):
            # A word may be several pieces here; what lies between the numbers is what can be compared.
            if [index for index in row if _is_number(tokenizer, index)] != [
                index for index in theirs if 204 <= index <= 4203
            ]:
                return False
            words |= {index: 1 for index in theirs if index > 4283}
        elif list(row) != list(theirs):
            return False
    return True


def _has_words(text: str) -> bool:
    return any(re.search(rf"\b{word}\b", text) for word in ("human", "pose", "point", "polygon", "none"))


def _is_number(tokenizer: TextTokenizer, index: int) -> bool:
    return re.fullmatch(r"v[0-3]=\d+", tokenizer.token(index)) is not None
