"""Body points by BlazePose: a detector finds a person, and a second network the points in a square around them.

Source: Bazarevsky et al. 2020 (arXiv:2006.10204). MediaPipe's graph also turns the square with
the body; this one stays upright.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fourm_experts.modalities import POSE_33
from lightning_modules.labelling.files.description import Runtime
from lightning_modules.labelling.files.runtimes import open_session
from lightning_modules.labelling.weights import hash_weights
from modalities.errors import ConfigError
from modalities.labellers.base import Labeller
from modalities.presets import IMAGE
from modalities.spec import Provenance, Value

DETECTOR_SIDE, LANDMARK_SIDE = 224, 256
ANCHORS_BY_STRIDE = ((8, 2), (16, 2), (32, 6))
"""Pixels between the places of the detector's grids, and its boxes at each."""
SQUARE_SCALE = 1.25
"""Side of the square around a person, relative to the circle that the detector gives."""
DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"


@dataclass(frozen=True, kw_only=True)
class PoseLabeller(Labeller):
    """The 33 points of the most prominent person."""

    folder: str = "files"
    """Folder of the two .tflite files."""
    min_score: float = 0.5
    """Least score of the detector."""

    @property
    def weights_digest(self) -> str:
        """Hashes of the two files."""
        return " ".join(hash_weights(self._file(name)) for name in (DETECTOR, LANDMARKS))

    def label(self, values: Mapping[str, Value]) -> NDArray[np.float32] | None:
        """The points as shares of the picture, with a score of each; None where no person is found."""
        picture = values[IMAGE]
        height, width = picture.shape[:2]
        found = self._find_person(picture)
        if found is None:
            return None
        left, top, side = found
        levels = _square(picture, left, top, side, LANDMARK_SIDE)
        outputs = open_session(self._file(LANDMARKS), Runtime.tflite).run("", levels[None])
        numbers = outputs["Identity"].reshape(-1, 5)[: len(POSE_33.names)]
        x = (left + numbers[:, 0] / LANDMARK_SIDE * side) / width
        y = (top + numbers[:, 1] / LANDMARK_SIDE * side) / height
        points = np.stack([x, y, _sigmoid(numbers[:, 3])], axis=-1)[None]
        return np.asarray(points, dtype=np.float32)

    def _find_person(self, picture: NDArray[np.uint8]) -> tuple[float, float, float] | None:
        """Left and upper edge and side of a square around the surest person, in pixels."""
        height, width = picture.shape[:2]
        side = max(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        levels = _square(picture, left, top, side, DETECTOR_SIDE) * 2 - 1
        outputs = open_session(self._file(DETECTOR), Runtime.tflite).run("", levels[None])
        scores = _sigmoid(outputs["Identity_1"].reshape(-1))
        best = int(scores.argmax())
        if scores[best] < self.min_score:
            return None
        # After the box come four points: the first is between the hips, the second on a circle around the body.
        points = outputs["Identity"].reshape(-1, 6, 2)[best, 2:4] / DETECTOR_SIDE + anchors()[best]
        (x, y), (x1, y1) = points * side + [left, top]
        size = 2 * SQUARE_SCALE * math.hypot(x1 - x, y1 - y)
        return x - size / 2, y - size / 2, size

    def _file(self, name: str) -> Path:
        path = Path(self.folder) / name
        if not path.is_file():
            raise ConfigError(
                f"There is no file {path}: fetch it as examples/experts/README.md says, and name its folder by "
                f"--set {self.output}.folder=FOLDER."
            )
        return path


def anchors() -> NDArray[np.float64]:
    """Centres (x, y) of the detector's boxes as shares of its input, in the order of its output."""
    centers = []
    for stride, count in ANCHORS_BY_STRIDE:
        steps = (np.arange(DETECTOR_SIDE // stride) + 0.5) / (DETECTOR_SIDE // stride)
        y, x = np.meshgrid(steps, steps, indexing="ij")
        centers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(centers)


def _square(picture: NDArray[np.uint8], left: float, top: float, side: float, size: int) -> NDArray[np.float32]:
    """A square of the picture, black outside of it, as levels 0 to 1 of size x size pixels."""
    box = (left, top, left + side, top + side)
    image = Image.fromarray(picture).transform((size, size), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), dtype=np.float32)


POSE_33_LABELLER = PoseLabeller(
    name="pose_33",
    output="pose_33",
    inputs=(IMAGE,),
    provenance=Provenance.expert,
    license="Apache-2.0",
    description="MediaPipe BlazePose (full): detector and landmarks",
)
