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

PRESETS = {"fourm_7": FOURM_7, "fourm_21": FOURM_21}
"""Names that a config may use in place of a list of modalities."""
