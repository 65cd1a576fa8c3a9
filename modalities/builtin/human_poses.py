"""Human poses: SMPL parameters of each person, spelled ``human`` and a box, then pose, global, camera and shape."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from modalities.boxes import area, draw_box, from_bins, is_box, to_bins
from modalities.pose_metrics import body_measures, pck, pose_measures
from modalities.poses import NUM_ENTRIES, Pose, rest_pose, rotations, rows_of, seen_pose, to_camera
from modalities.sequences import Reader, RecordModality, medoid
from modalities.spec import Codes, Loss, Measure, Parsed, ProductMLP, Text, Vector, View, WordPiece
from modalities.text import coordinate, coordinates, spell_codes

if TYPE_CHECKING:
    from modalities.scene import Scene

GROUPS = ("pose", "global", "camera", "shape")
_RANGES = {"global": (-1.0, 1.0, 9), "camera": (-1.0, 19.0, 3), "shape": (-3.0, 3.0, 10)}
"""Lowest and highest value, and numbers, of each group but the pose."""
_LIMBS = ((0, 1, 2, 3), (0, 4, 5, 6), (0, 7, 8, 9, 10), (8, 11, 12, 13), (8, 14, 15, 16))
"""Chains of joints that a skeleton is drawn of."""
_COLORS = ((70, 110, 200), (200, 90, 60), (60, 60, 66), (200, 90, 60), (70, 110, 200))
_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class HumanPoses(RecordModality):
    """People. A value is a tuple of `Pose`, the largest first."""

    def look(self, scene: "Scene") -> tuple[Pose, ...]:
        """The scene's visible people."""
        people = [
            Pose(
                box=person.box,
                global_orient=person.global_orient,
                body_pose=person.body_pose,
                betas=person.betas,
                camera=to_camera(person.translation),
            )
            for person in scene.people
        ]
        return tuple(sorted(people, key=lambda pose: -area(pose.box)))

    def to_json(self, value: Sequence[Pose]) -> Any:
        """A list of objects with box, global_orient, body_pose, betas and camera."""
        return [pose.to_json() for pose in value]

    def from_json(self, data: Any) -> tuple[Pose, ...]:
        """The people of such a list."""
        return tuple(Pose.from_json(item) for item in data)

    def augment(self, value: Sequence[Pose], view: View) -> tuple[Pose, ...]:
        """The people that the view shows, mirrored with it."""
        return tuple(pose for pose in (seen_pose(pose, view) for pose in value) if pose is not None)

    @property
    def normalisation(self) -> str:
        """What `prepare` does."""
        return "entries of the 23 rotation matrices as they are, -1..1, a row for each person"

    def prepare(self, value: Sequence[Pose]) -> NDArray[np.float32]:
        """The entries of each person's rotation matrices, (people, 207)."""
        return rows_of(value)

    def serialise(self, value: Sequence[Pose], rng: np.random.Generator, codes: NDArray[np.int64] | None = None) -> str:
        """The people in their order, the groups of each in an order that ``rng`` draws; ``none`` for nobody."""
        if not value:
            return "none"
        if codes is None or len(codes) != len(value):
            raise ValueError(f"{self.name} needs the codes of {len(value)} people.")
        orders = [[GROUPS[index] for index in rng.permutation(len(GROUPS))] for _ in value]
        return " ".join(spell(pose, row, order) for pose, row, order in zip(value, codes, orders, strict=True))

    def parse(self, text: str) -> Parsed:
        """The people that are there in full, in a T pose until `with_codes` knows better."""
        reader = Reader(text)
        poses: list[Pose] = []
        codes: list[tuple[int, ...]] = []
        well_formed = reader.word("none") is None or reader.at_end
        while not reader.at_end:
            found = self._person(reader)
            if found is None:
                well_formed = False
                reader.skip_to(lambda word: word == "human")
            else:
                poses.append(found[0])
                codes.append(found[1])
        count = self._codes.layout.num_tokens
        is_said = bool(poses) or text.split() == ["none"]
        return Parsed(
            value=tuple(poses),
            well_formed=well_formed and is_said,
            codes=np.array(codes, dtype=np.int64).reshape(-1, count),
        )

    def with_codes(self, value: Sequence[Pose], rows: Float32[np.ndarray, "k 207"]) -> tuple[Pose, ...]:
        """The people with these body poses, each matrix made the nearest rotation."""
        poses = rotations(np.asarray(rows, dtype=np.float32).reshape(-1, 23, 3, 3))
        return tuple(replace(pose, body_pose=body) for pose, body in zip(value, poses, strict=True))

    def draw(self, value: Sequence[Pose]) -> NDArray[np.uint8]:
        """Each person's skeleton, fitted into their box."""
        image = Image.new("RGB", (_SIDE, _SIDE), (238, 238, 234))
        canvas = ImageDraw.Draw(image)
        for pose in value:
            draw_box(canvas, pose.box, "", (150, 150, 150), _SIDE)
            points = _fitted(pose)
            for limb, color in zip(_LIMBS, _COLORS, strict=True):
                canvas.line([points[joint] for joint in limb], fill=color, width=4, joint="curve")
        return np.array(image)

    def metrics(self) -> dict[str, Measure]:
        """Share of right joints, mean joint error, and F1 of people."""
        return pose_measures()

    def row_measures(self) -> dict[str, Measure]:
        """Errors of the body pose: of joints, and of the matrices' entries."""
        return body_measures()

    def typical(self, values: Sequence[Sequence[Pose]]) -> tuple[Pose, ...]:
        """Of the samples with people, the one whose joints are right most often in the others."""
        return tuple(medoid([value for value in values if value], pck, empty=()))

    @property
    def _codes(self) -> Codes:
        assert isinstance(self.tokenizer, WordPiece)
        assert self.tokenizer.codes is not None
        return self.tokenizer.codes

    def _person(self, reader: Reader) -> tuple[Pose, tuple[int, ...]] | None:
        """The next person and their codes, if they are there in full; else the reader stands inside."""
        if reader.word("human") is None or (bins := reader.coordinates(0, 1, 2, 3)) is None:
            return None
        box = from_bins(bins)
        found: dict[str, tuple[int, ...]] = {}
        for _ in GROUPS:
            group = reader.word(*(group for group in GROUPS if group not in found))
            if group is None:
                return None
            numbers = (
                reader.codes(self._codes.layout.num_tokens, self._codes.tokenizer.vocab)
                if group == "pose"
                else reader.coordinates(*[0] * _RANGES[group][2])
            )
            if numbers is None:
                return None
            found[group] = numbers
        if not is_box(box):
            return None
        values = {group: from_numbers(group, found[group]) for group in _RANGES}
        orient = rotations(values["global"].reshape(3, 3))
        pose = replace(rest_pose(), box=box, global_orient=orient, betas=values["shape"], camera=values["camera"])
        return pose, found["pose"]


def to_numbers(group: str, values: NDArray[np.float32]) -> list[int]:
    """Return the numbers 0..999 that spell a group's values; what lies outside the range counts as its end."""
    low, high, _ = _RANGES[group]
    clipped = np.clip(np.asarray(values, dtype=np.float64).ravel(), low, high)
    return [round(float(value)) for value in (clipped - low) * 999 / (high - low)]


def from_numbers(group: str, numbers: Sequence[int]) -> NDArray[np.float32]:
    """Return the values that a group's numbers spell."""
    low, high, _ = _RANGES[group]
    return (np.array(numbers) * (high - low) / 999 + low).astype(np.float32)


def spell(pose: Pose, codes: Sequence[int] | NDArray[np.int64], order: Sequence[str]) -> str:
    """Return one person as text, the groups in this order."""
    arrays = {"global": pose.global_orient, "camera": pose.camera, "shape": pose.betas}
    parts = ["human", coordinates(to_bins(pose.box))]
    for group in order:
        numbers = (
            spell_codes(codes)
            if group == "pose"
            else " ".join(coordinate(0, number) for number in to_numbers(group, arrays[group]))
        )
        parts += [group, numbers]
    return " ".join(parts)


def _fitted(pose: Pose) -> list[tuple[float, float]]:
    """The joints as points of the picture, stretched evenly so that they fit the box."""
    joints = pose.joints()[:, :2] * np.array([1, -1])
    low, high = joints.min(0), joints.max(0)
    box = np.array(pose.box) * (_SIDE - 1)
    scale = float(((box[2:] - box[:2]) / np.maximum(high - low, 1e-6)).min())
    points = (joints - (low + high) / 2) * scale + (box[:2] + box[2:]) / 2
    return [(float(x), float(y)) for x, y in points]


MODALITY = HumanPoses(
    name="human_poses",
    title="3D human poses",
    layout=Text(max_tokens=275),
    tokenizer=WordPiece(
        codes=Codes(
            layout=Vector(channels=NUM_ENTRIES, num_tokens=8),
            tokenizer=ProductMLP(name="body_pose", vocab=1024, loss=Loss.smooth_l1),
        )
    ),
    labeller="4D-Humans (HMR 2.0)",
)
