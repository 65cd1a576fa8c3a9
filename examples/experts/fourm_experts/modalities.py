"""The modalities that the networks make; each is published as an entry point."""

from fourm_experts.lines import Lines
from modalities import ClassMap, Dense, ReconstructionLoss, Text, ViTVQ, WordPiece
from modalities.kinds.keypoints import Keypoints

PERSON_MASK = ClassMap(
    name="person_mask",
    title="Person mask",
    classes=("background", "person"),
    layout=Dense(channels=2, size=224, patch=16, categorical=True),
    tokenizer=ViTVQ(name="person_mask", vocab_size=4096, loss=ReconstructionLoss.cross_entropy),
    labeller="MediaPipe selfie segmentation",
    license="Apache-2.0",
)
_SIDES = ("left", "right")
POSE_NAMES = (
    "nose",
    *(f"{side}_eye_{part}" for side in _SIDES for part in ("inner", "center", "outer")),
    *(
        f"{side}_{part}"
        for part in (
            "ear",
            "mouth",
            "shoulder",
            "elbow",
            "wrist",
            "pinky",
            "index",
            "thumb",
            "hip",
            "knee",
            "ankle",
            "heel",
            "foot",
        )
        for side in _SIDES
    ),
)
"""The 33 points of BlazePose (arXiv:2006.10204) in the order of its output."""
_BONES = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in _SIDES
        for a, b in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("shoulder", "hip"),
            ("hip", "knee"),
            ("knee", "ankle"),
            ("ankle", "heel"),
            ("heel", "foot"),
            ("wrist", "index"),
            ("wrist", "pinky"),
        )
    ),
)
POSE_33 = Keypoints(
    name="pose_33",
    title="Body points (33)",
    layout=Text(max_tokens=3 * 33 + 1),
    tokenizer=WordPiece(),
    names=POSE_NAMES,
    edges=tuple((POSE_NAMES.index(one), POSE_NAMES.index(other)) for one, other in _BONES),
    labeller="MediaPipe BlazePose (full)",
    license="Apache-2.0",
)
STRAIGHT_LINES = Lines(
    name="straight_lines",
    title="Straight lines",
    layout=Text(max_tokens=4 * 60 + 1),
    tokenizer=WordPiece(),
    labeller="M-LSD 512 large",
    license="Apache-2.0",
)
