"""What follows from a modality's declared facts, and what a scale makes of them."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modalities.layouts import Dense, Embeddings, ScaleConfig, Text, Vector, scaled_layout
from modalities.presets import FOURM_7, FOURM_21
from modalities.registry import default_registry
from modalities.spec import Modality, center_crop, learned_tokenizer, tokenizer_tasks
from modalities.tokenizer_specs import scaled_tokenizer

REGISTRY = default_registry()

PUBLISHED = {
    "rgb": (196, 16384),
    "depth": (196, 8192),
    "normals": (196, 8192),
    "canny_edges": (196, 8192),
    "sam_edges": (196, 8192),
    "semseg": (196, 4096),
    "clip": (196, 8192),
    "dinov2": (256, 8192),
    "imagebind": (256, 8192),
    "dinov2_global": (16, 8192),
    "imagebind_global": (16, 8192),
}
"""Tokens and codes of the 4M-21 paper's tokenizers at 224 x 224."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_declared_sizes_are_the_published_ones(name: str) -> None:
    modality = REGISTRY[name]
    codes = learned_tokenizer(modality)
    assert codes is not None
    assert (modality.num_tokens, codes.tokenizer.vocab_size) == PUBLISHED[name]
    assert modality.data_type == "dense"
    assert modality.is_target


def test_t5_embeddings_are_an_input_only() -> None:
    modality = REGISTRY["t5_caption"]
    assert modality.layout == Embeddings(channels=4096, max_tokens=77)
    assert not modality.is_target
    assert modality.data_type == "sequence"
    assert learned_tokenizer(modality) is None


def test_only_rgb_enters_as_pixels() -> None:
    assert [name for name, modality in REGISTRY.items() if modality.has_pixel_stream] == ["rgb"]


def test_the_presets_are_built_in() -> None:
    assert len(FOURM_7) == 7
    assert len(set(FOURM_21)) == 21
    assert set(FOURM_7) <= set(FOURM_21)
    assert set(FOURM_21) <= set(REGISTRY)


def test_edges_share_one_tokenizer_and_the_rest_have_their_own() -> None:
    tasks = tokenizer_tasks({name: REGISTRY[name] for name in FOURM_21})
    assert tasks["edges"].members == ("canny_edges", "sam_edges")
    alone = {name: task.members for name, task in tasks.items() if name != "edges"}
    assert set(alone) == {*PUBLISHED, "instance_mask", "body_pose"} - {"canny_edges", "sam_edges"}
    assert all(len(members) == 1 for members in alone.values())


def test_a_task_has_the_layout_that_its_modality_declares() -> None:
    small = {"depth": REGISTRY["depth"].scaled(ScaleConfig(size=64, patch=8, max_vocab=512))}
    task = tokenizer_tasks(small)["depth"]
    assert task.layout == Dense(channels=1, size=64, patch=8)
    assert task.tokenizer.vocab_size == 512


@pytest.mark.parametrize(
    ("layout", "grid", "side"),
    [
        (Dense(channels=3, size=224, patch=16), 14, 224),
        (Dense(channels=768, size=224, patch=14, pixels_per_value=14), 16, 16),
        (Dense(channels=1, size=448, patch=16), 28, 448),
    ],
)
def test_counts_follow_from_a_dense_layout(layout: Dense, grid: int, side: int) -> None:
    assert (layout.grid, layout.num_tokens, layout.values_per_side) == (grid, grid**2, side)
    assert layout.values_per_patch * layout.grid == side


def test_a_patch_of_fourteen_keeps_its_ratio_where_that_divides_the_size() -> None:
    layout = Dense(channels=768, size=224, patch=14, pixels_per_value=14)
    fitting = scaled_layout(layout, ScaleConfig(size=112, patch=8))
    assert fitting == Dense(channels=768, size=112, patch=7, pixels_per_value=7)
    other = scaled_layout(layout, ScaleConfig(size=64, patch=8, max_channels=32))
    assert other == Dense(channels=32, size=64, patch=8, pixels_per_value=8)


def test_a_scale_cuts_channels_of_features_but_not_of_images() -> None:
    scale = ScaleConfig(size=64, patch=8, max_channels=2)
    assert scaled_layout(Dense(channels=3, size=224, patch=16), scale) == Dense(channels=3, size=64, patch=8)
    assert scaled_layout(Vector(channels=768, num_tokens=16), scale) == Vector(channels=2, num_tokens=16)


@given(max_tokens=st.integers(1, 300), longest=st.integers(1, 300))
def test_a_sequence_is_never_longer_than_the_scale_allows(max_tokens: int, longest: int) -> None:
    layout = scaled_layout(Text(max_tokens=max_tokens), ScaleConfig(max_tokens=longest))
    assert layout == Text(max_tokens=min(max_tokens, longest))


@pytest.mark.parametrize("name", FOURM_21)
def test_the_default_scale_leaves_the_published_sizes(name: str) -> None:
    modality = REGISTRY[name]
    assert modality.scaled(ScaleConfig()) == modality
    assert scaled_tokenizer(modality.tokenizer, ScaleConfig()) == modality.tokenizer


@pytest.mark.parametrize("name", FOURM_21)
def test_a_modality_cannot_be_changed(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        REGISTRY[name].title = "another"  # type: ignore[misc]


def test_an_abstract_modality_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Modality(name="x", title="x", layout=Text(max_tokens=1), tokenizer=REGISTRY["caption"].tokenizer)  # type: ignore[abstract]


@pytest.mark.parametrize(("height", "width"), [(100, 60), (60, 100), (7, 7)])
def test_the_central_view_is_the_largest_square(height: int, width: int) -> None:
    crop = center_crop(height, width)
    assert crop.width * width == pytest.approx(min(height, width))
    assert crop.height * height == pytest.approx(min(height, width))
    assert crop.left + crop.width / 2 == pytest.approx(0.5)
    assert crop.top + crop.height / 2 == pytest.approx(0.5)


def test_importing_modalities_loads_no_network_code_and_no_modality() -> None:
    program = (
        "import sys, modalities; modalities.default_registry();"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'torchmetrics', 'PIL', 'scipy')"
        " or m.startswith('modalities.builtin.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
