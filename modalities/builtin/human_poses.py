"""Human poses: SMPL parameters of each person, spelled ``human`` and a box, then pose, global, camera and shape."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torchmetrics import MetricCollection

from modalities.decoding import sequence_decoding
from modalities.geometry.boxes import bins_to_box, box_to_bins, draw_box, is_valid_box
from modalities.geometry.poses import (
    BODY_POSE_SIZE,
    Pose,
    body_pose_rows,
    check_pose,
    crop_pose,
    nearest_rotations,
    rest_pose,
)
from modalities.kinds.sequences import RecordModality, TokenReader, medoid, require_list, split_before
from modalities.layouts import Text, Vector
from modalities.metrics.poses import body_pose_reconstruction_metrics, human_pose_metrics, pck
from modalities.spec import Crop
from modalities.tokenizer_specs import EmbeddedCodes, ProductMLP, ReconstructionLoss, WordPiece
from modalities.values import Parsed, ValueSpec
from modalities.vocabulary import code_tokens, coordinate_token, coordinate_tokens

PARAMETER_GROUPS = ("pose", "global", "camera", "shape")
_GROUP_RANGES = {"global": (-1.0, 1.0, 9), "camera": (-1.0, 19.0, 3), "shape": (-3.0, 3.0, 10)}
"""Lowest and highest value, and numbers, of each group but the pose."""
_LIMBS = ((0, 1, 2, 3), (0, 4, 5, 6), (0, 7, 8, 9, 10), (8, 11, 12, 13), (8, 14, 15, 16))
"""Chains of joints that a skeleton is drawn of."""
_COLORS = ((70, 110, 200), (200, 90, 60), (60, 60, 66), (200, 90, 60), (70, 110, 200))
_RENDER_SIZE = 224


@dataclass(frozen=True, kw_only=True)
class HumanPoses(RecordModality):
    """People. A value is a tuple of `Pose`, the largest first."""

    def to_json(self, value: Sequence[Pose]) -> Any:
        """A list of objects with box, global_orient, body_pose, betas and camera."""
        return [pose.to_json() for pose in value]

    def from_json(self, data: Any) -> tuple[Pose, ...]:
        """The people of such a list."""
        return tuple(Pose.from_json(item) for item in require_list(data))

    @property
    def value_spec(self) -> ValueSpec:
        """SMPL parameters and boxes."""
        return ValueSpec(
            type="tuple of Pose",
            unit="a box in shares of the image, rotation matrices, betas, and the camera's x/z, y/z and metres",
            files=".json: a list of objects with box, global_orient, body_pose, betas and camera",
        )

    def check(self, value: Any, origin: str) -> tuple[Pose, ...]:
        """People with finite parameters, matrices that are rotations, and boxes cut at the image's edges."""
        return tuple(check_pose(pose, origin) for pose in value)

    def transform(self, value: Sequence[Pose], crop: Crop) -> tuple[Pose, ...]:
        """The people inside the crop, mirrored with it."""
        return tuple(pose for pose in (crop_pose(pose, crop) for pose in value) if pose is not None)

    @property
    def normalization(self) -> str:
        """The effect of `preprocess`."""
        return "entries of the 23 rotation matrices as they are, -1..1, a row for each person"

    def preprocess(self, value: Sequence[Pose]) -> NDArray[np.float32]:
        """The entries of each person's rotation matrices, (people, 207)."""
        return body_pose_rows(value)

    def serialize(self, value: Sequence[Pose], rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The people in their order, the groups of each in an order that ``rng`` draws; ``none`` for nobody."""
        if not value:
            return "none"
        if codes is None or len(codes) != len(value):
            raise ValueError(f"{self.name} needs the codes of {len(value)} people.")
        orders = [[PARAMETER_GROUPS[index] for index in rng.permutation(len(PARAMETER_GROUPS))] for _ in value]
        return " ".join(person_tokens(pose, row, order) for pose, row, order in zip(value, codes, orders, strict=True))

    def elements(self, text: str) -> list[str]:
        """One person each."""
        return split_before(text, lambda word: word == "human")

    def parse(self, text: str) -> Parsed:
        """The people that are there in full, in a T pose until `with_decoded_parts` knows better."""
        reader = TokenReader(text)
        poses: list[Pose] = []
        codes: list[tuple[int, ...]] = []
        well_formed = reader.read_word("none") is None or reader.at_end
        while not reader.at_end:
            found = self._read_person(reader)
            if found is None:
                well_formed = False
                reader.skip_to(lambda word: word == "human")
            else:
                poses.append(found[0])
                codes.append(found[1])
        count = self._embedded_codes.layout.num_tokens
        is_stated = bool(poses) or text.split() == ["none"]
        return Parsed(
            value=tuple(poses),
            well_formed=well_formed and is_stated,
            codes=np.array(codes, dtype=np.int64).reshape(-1, count),
        )

    def with_decoded_parts(self, value: Sequence[Pose], rows: Float32[np.ndarray, "k 207"]) -> tuple[Pose, ...]:
        """The people with these body poses, each matrix made the nearest rotation."""
        poses = nearest_rotations(np.asarray(rows, dtype=np.float32).reshape(-1, 23, 3, 3))
        return tuple(replace(pose, body_pose=body) for pose, body in zip(value, poses, strict=True))

    def render(self, value: Sequence[Pose]) -> NDArray[np.uint8]:
        """Each person's skeleton, fitted into their box."""
        image = Image.new("RGB", (_RENDER_SIZE, _RENDER_SIZE), (238, 238, 234))
        canvas = ImageDraw.Draw(image)
        for pose in value:
            draw_box(canvas, pose.box, "", (150, 150, 150), _RENDER_SIZE)
            points = _skeleton_in_box(pose)
            for limb, color in zip(_LIMBS, _COLORS, strict=True):
                canvas.line([points[joint] for joint in limb], fill=color, width=4, joint="curve")
        return np.array(image)

    def metrics(self) -> MetricCollection:
        """Share of right joints, mean joint error, and F1 of people."""
        return human_pose_metrics()

    def reconstruction_metrics(self) -> MetricCollection:
        """Errors of the body pose: of joints, and of the matrices' entries."""
        return body_pose_reconstruction_metrics()

    def constant_baseline(self, values: Sequence[Sequence[Pose]]) -> tuple[Pose, ...]:
        """The sample with people whose joints are right most often in the others."""
        return tuple(medoid([value for value in values if value], pck, empty=()))

    @property
    def _embedded_codes(self) -> EmbeddedCodes:
        assert isinstance(self.tokenizer, WordPiece)
        assert self.tokenizer.codes is not None
        return self.tokenizer.codes

    def _read_person(self, reader: TokenReader) -> tuple[Pose, tuple[int, ...]] | None:
        """The next person and their codes, if they are there in full; else the reader stands inside."""
        if reader.read_word("human") is None or (bins := reader.read_coordinates(0, 1, 2, 3)) is None:
            return None
        box = bins_to_box(bins)
        found: dict[str, tuple[int, ...]] = {}
        for _ in PARAMETER_GROUPS:
            group = reader.read_word(*(group for group in PARAMETER_GROUPS if group not in found))
            if group is None:
                return None
            numbers = (
                reader.read_codes(self._embedded_codes.layout.num_tokens, self._embedded_codes.tokenizer.vocab_size)
                if group == "pose"
                else reader.read_coordinates(*[0] * _GROUP_RANGES[group][2])
            )
            if numbers is None:
                return None
            found[group] = numbers
        if not is_valid_box(box):
            return None
        values = {group: bins_to_values(group, found[group]) for group in _GROUP_RANGES}
        orient = nearest_rotations(values["global"].reshape(3, 3))
        pose = replace(rest_pose(), box=box, global_orient=orient, betas=values["shape"], camera=values["camera"])
        return pose, found["pose"]


def values_to_bins(group: str, values: NDArray[np.float32]) -> list[int]:
    """The numbers 0..999 that encode a group's values; values outside the range are clipped."""
    low, high, _ = _GROUP_RANGES[group]
    clipped = np.clip(np.asarray(values, dtype=np.float64).ravel(), low, high)
    return [round(float(value)) for value in (clipped - low) * 999 / (high - low)]


def bins_to_values(group: str, numbers: Sequence[int]) -> NDArray[np.float32]:
    """The values that a group's numbers encode."""
    low, high, _ = _GROUP_RANGES[group]
    return (np.array(numbers) * (high - low) / 999 + low).astype(np.float32)


def person_tokens(pose: Pose, codes: Sequence[int] | NDArray[np.int64], order: Sequence[str]) -> str:
    """One person as text, the groups in this order."""
    arrays = {"global": pose.global_orient, "camera": pose.camera, "shape": pose.betas}
    parts = ["human", coordinate_tokens(box_to_bins(pose.box))]
    for group in order:
        numbers = (
            code_tokens(codes)
            if group == "pose"
            else " ".join(coordinate_token(0, number) for number in values_to_bins(group, arrays[group]))
        )
        parts += [group, numbers]
    return " ".join(parts)


def _skeleton_in_box(pose: Pose) -> list[tuple[float, float]]:
    """The joints as points of the picture, stretched evenly so that they fit the box."""
    joints = pose.joints()[:, :2] * np.array([1, -1])
    low, high = joints.min(0), joints.max(0)
    box = np.array(pose.box) * (_RENDER_SIZE - 1)
    scale = float(((box[2:] - box[:2]) / np.maximum(high - low, 1e-6)).min())
    points = (joints - (low + high) / 2) * scale + (box[:2] + box[2:]) / 2
    return [(float(x), float(y)) for x, y in points]


MODALITY = HumanPoses(
    name="human_poses",
    title="3D human poses",
    layout=Text(max_tokens=275),
    tokenizer=WordPiece(
        codes=EmbeddedCodes(
            layout=Vector(channels=BODY_POSE_SIZE, num_tokens=8),
            tokenizer=ProductMLP(name="body_pose", vocab_size=1024, loss=ReconstructionLoss.smooth_l1),
        )
    ),
    labeller="4D-Humans (HMR 2.0)",
    decoding=sequence_decoding(order=32, temperature="0.1"),
    aliases=("poses",),
)
