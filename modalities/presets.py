"""The sets of modalities that the 4M papers train with, and how they are counted."""

FOURM_7 = ("rgb", "depth", "normals", "semseg", "clip", "caption", "bounding_boxes")
"""4M-7 (arXiv:2312.06647). RGB counts once and enters both as pixels and as tokens."""

FOURM_21 = (
    "rgb",
    "color_palette",
    "canny_edges",
    "sam_edges",
    "normals",
    "depth",
    "human_poses",
    "sam_instances",
    "semseg",
    "bounding_boxes",
    "clip",
    "dinov2",
    "imagebind",
    "dinov2_global",
    "imagebind_global",
    "metadata_semantic",
    "metadata_geometric",
    "metadata_image",
    "caption",
    "t5_caption",
    "web_text",
)
"""4M-21 as counted in Figure 1 of arXiv:2406.09406.

RGB 2, edges 2, geometry 3, semantics 3, feature maps 3, global features 2, metadata 3, text 3.
"""

EVALUATION_ROUTES = {"rgb": (), "caption": ("semseg", "bounding_boxes")}
"""Targets that the quickstart's evaluation predicts from one whole modality; none stands for every target."""
EVALUATION_CHAINS = (("rgb", "depth", "normals", "semseg"), ("rgb", "semseg", "depth"))
"""Source, modalities generated in between, and target."""
EVALUATION_PROBES = {"t5_caption": "caption"}
"""Target to predict from an input-only modality."""
ARGMAX_TARGETS = ("semseg", "canny_edges", "sam_edges")
"""Maps that the probability-weighted mean of the code vectors would blur: they are decoded from the likeliest codes."""
PICTURE_TARGETS = ("depth", "normals", "semseg")
"""Targets that pictures of validation show."""
BINDING_MODALITIES = ("depth", "normals", "semseg", "caption")
"""Modalities that binding pairs with the image where its settings name none."""
IMAGE = "rgb"
"""The image: the modality that photographs are read as."""

PRESETS = {"fourm_7": FOURM_7, "fourm_21": FOURM_21}
"""Names that a config may use in place of a list of modalities."""
CAPTION = "caption"
"""The text about an image that encoders of texts embed."""
BOXES = "bounding_boxes"
"""The boxes in which networks for poses look for people."""
