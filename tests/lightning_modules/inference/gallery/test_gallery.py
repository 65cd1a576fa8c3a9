"""The generation sheets of a model that has learnt nothing, from its folder to files and back."""

import html
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.report.input import ReportInput
from evaluation.report.page import render
from evaluation.report.tables import build_tables
from experiments.cli.models.generation_request import request_to_argv
from lightning_modules.checkpoints.model import load_model
from lightning_modules.data.raw import RawStore, write_shard
from lightning_modules.inference.gallery.gallery import (
    FOLDER_PLACEHOLDER,
    GalleryItem,
    make_gallery,
    read_gallery,
    write_gallery,
)
from lightning_modules.inference.gallery.presets import GALLERY_PRESETS, GalleryData, PresetInputs
from lightning_modules.inference.request import GenerationResult, run_request
from modalities.errors import DataError
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.open import open_source
from networks.fourm.config import FourMConfig, Size
from networks.fourm.model import FourM
from tests.experiments.small_folder import make_model_folder

NUM = 3
ROWS = {"from_image": 2, "from_caption": 4, "in_painting": 4, "example": 4, "weighted": 4, "from_nothing": 3}
"""Variations, and the truth of the scene where one is given."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A model's sheets and all that they are made from."""

    model: FourM
    gallery_data: GalleryData
    exhibits: dict[str, GalleryItem]
    folder: Path

    def outcome(self, name: str) -> GenerationResult:
        """One sheet's request, fulfilled again."""
        recipe = next(item for item in GALLERY_PRESETS if item.name == name)
        sample = self.gallery_data.sample(recipe.first, recipe.required_targets)
        assert sample is not None
        requests = recipe.requests(PresetInputs(gallery_data=self.gallery_data, sheet=name, sample=sample))
        return run_request(self.model, self.gallery_data.codec, requests[""])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Five scenes of 32 pixels, of 4 x 4 tokens."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("exhibits")
    loaded = load_model(make_model_folder(root / "model"))
    chosen = loaded.build_modalities(default_registry())
    write_shard(root / "raw", chosen, open_source(SourceConfig(), chosen), "validation", range(5))
    folder = root / "sheets"
    (folder / "given").mkdir(parents=True)
    gallery_data = GalleryData(
        codec=loaded.codec(default_registry()),
        values=RawStore.open([root / "raw"], chosen),
        num_samples=5,
        folder=folder / "given",
        num=NUM,
    )
    exhibits = make_gallery(loaded.model, gallery_data, request_to_argv)
    write_gallery(folder, exhibits)
    return World(
        model=loaded.model, gallery_data=gallery_data, exhibits={item.name: item for item in exhibits}, folder=folder
    )


def test_every_sheet_is_a_file_with_a_row_for_each_variation_and_one_for_the_truth(world: World) -> None:
    assert list(world.exhibits) == list(ROWS)
    for name, rows in ROWS.items():
        sheet = world.exhibits[name].sheet
        with Image.open(world.folder / f"{name}.png") as image:
            assert image.format == "PNG"
            # A head of 60 pixels, rows of 128 with 10 between them, and as much at the edges.
            assert image.size == (10 + 138 * len(sheet.columns), 60 + 138 * rows + 10)


def test_a_sheet_shows_what_was_given_what_was_made_and_what_the_scene_has(world: World) -> None:
    sheet = world.exhibits["from_image"].sheet
    assert sheet.columns == ("RGB, given", "Depth", "Semantic segmentation", "Caption", "Bounding boxes")
    values = world.gallery_data.values
    np.testing.assert_array_equal(sheet.rows[0][0], values["rgb"][0])
    assert sheet.rows[1][0] == "what the sample itself has"
    np.testing.assert_array_equal(
        sheet.rows[1][1], world.gallery_data.codec.modalities["depth"].render(values["depth"][0])
    )
    assert sheet.rows[1][3] == values["caption"][0]
    assert world.exhibits["from_caption"].sheet.rows[0][0] == values["caption"][1]
    assert world.exhibits["weighted"].sheet.columns[2:] == ("RGB, unguided", "RGB, weighted")


@pytest.mark.parametrize("name", ["from_caption", "in_painting", "from_nothing"])
def test_variations_differ_from_each_other(world: World, name: str) -> None:
    # Tokens, as a decoder that has learnt nothing may say the same of all of them.
    rows = world.outcome(name).parts["rgb"].rows()
    assert len(rows) == NUM
    assert rows[0] != rows[1] != rows[2] != rows[0]


def _tokens_of_image(world: World, sample: int) -> list[int]:
    """An image's tokens by its tokenizer, asked directly."""
    codec = world.gallery_data.codec
    levels = np.moveaxis(world.gallery_data.values["rgb"][sample], -1, 0)[None].astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        found: list[int] = codec.tokenizers["rgb"].encode(torch.from_numpy(levels)).flatten().tolist()
    return found


def test_in_painting_keeps_every_token_around_the_hole(world: World) -> None:
    own, rows = _tokens_of_image(world, 2), world.outcome("in_painting").parts["rgb"].rows()
    hole = {5, 6, 9, 10}
    for row in rows:
        assert [row[place] for place in range(16) if place not in hole] == [
            own[place] for place in range(16) if place not in hole
        ]
    assert len({tuple(row[place] for place in sorted(hole)) for row in rows}) > 1
    given = np.asarray(world.exhibits["in_painting"].sheet.rows[0][0])
    assert (given[8:24, 8:24] == 128).all()
    np.testing.assert_array_equal(given[:8], world.gallery_data.values["rgb"][2][:8])


def test_the_example_keeps_three_patches_and_the_edge_of_a_box(world: World) -> None:
    outcome, sheet = world.outcome("example"), world.exhibits["example"].sheet
    known = outcome.prepared.condition_inputs["rgb"].known
    assert known is not None
    assert known.sum(dim=1).tolist() == [3]
    own = torch.tensor(_tokens_of_image(world, 3))
    kept = known.expand(NUM, -1)
    assert torch.equal(outcome.parts["rgb"].ids[kept], own.expand(NUM, -1)[kept])
    assert outcome.plan.for_stream("rgb").steps == 3
    given, completed = (sheet.columns.index(f"Bounding boxes, {word}") for word in ("given", "completed"))
    text = str(sheet.rows[0][given])
    edge = text.removeprefix("[S_1] ").removesuffix(" [S_2]")
    lowest = [round(box.box[3] * 999) for box in world.gallery_data.values["bounding_boxes"][3]]
    assert edge in [f"v3={bin_}" for bin_ in lowest]
    assert all(edge in str(row[completed]).split() for row in sheet.rows[:NUM])


def test_the_weighted_image_is_weighed_and_the_other_is_not(world: World) -> None:
    exhibit = world.exhibits["weighted"]
    plain, weighted = exhibit.settings.split(". ")
    assert plain.startswith("unguided: rgb: roar, 16 steps (linear), temperature onex:3:0.5:0.5, top-p 0.8")
    assert "guidance" not in plain.removeprefix("unguided")
    assert weighted.endswith("weights caption +3 and depth -1")
    assert len(exhibit.commands) == 2


def test_commands_name_the_files_that_lie_beside_the_sheet(world: World) -> None:
    for exhibit in world.exhibits.values():
        files = [
            word.partition("=")[2]
            for words in exhibit.commands
            for word in words
            if word.partition("=")[2][:4] == FOLDER_PLACEHOLDER
        ]
        assert all((world.folder / file.removeprefix(f"{FOLDER_PLACEHOLDER}/")).is_file() for file in files)
        assert bool(files) == (exhibit.name != "from_nothing")
        assert not any(str(world.folder) in word for words in exhibit.commands for word in words)
    moved = world.exhibits["in_painting"].with_folder("runs/a b").with_prefix(("fourm", "generate"))
    assert moved.commands[0][:4] == ("fourm", "generate", "--from", "rgb=runs/a b/given/in_painting_rgb.png")


def test_exhibits_come_back_from_their_files(world: World, tmp_path: Path) -> None:
    for found in read_gallery(world.folder):
        made = world.exhibits[found.name]
        assert replace(found, sheet=made.sheet) == made
        assert (found.sheet.title, found.sheet.columns) == (made.sheet.title, made.sheet.columns)
        for row, other in zip(found.sheet.rows, made.sheet.rows, strict=True):
            for drawing, expected in zip(row, other, strict=True):
                np.testing.assert_array_equal(drawing, expected)
    (tmp_path / "exhibits.json").write_text('[{"name": "from_image"}]')
    with pytest.raises(DataError, match=r"exhibits\.json does not hold generation sheets"):
        read_gallery(tmp_path)


def test_the_report_shows_every_sheet_with_its_words_and_commands(world: World) -> None:
    modalities = world.gallery_data.codec.modalities
    exhibits = [item.with_folder("runs/x") for item in world.exhibits.values()]
    report = ReportInput(
        title="x", command="c", data="d.", arms={"few": list(modalities)}, seeds=[5], modalities=modalities, scores=[]
    )
    tables = build_tables(report)
    assert "<h2>Generated samples</h2>" not in render(replace(report, generated={"few": []}), tables)
    page = render(replace(report, generated={"few": exhibits}), tables)
    assert "each arm&#39;s model of seed 5" in page or "each arm's model of seed 5" in page
    for item in exhibits:
        part = page[page.index(f"<summary>{item.sheet.title}</summary>") :].split("</details>")[0]
        assert html.escape(item.sentence, quote=False) in html.unescape(part)
        assert item.settings in html.unescape(part)
        for words in item.commands:
            assert shlex.join(words) in html.unescape(part)
        pictures = [drawing for row in item.sheet.rows for drawing in row if not isinstance(drawing, str)]
        assert part.count('src="data:image/png;base64,') == len(pictures)


def test_an_arm_without_captions_skips_what_needs_them_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    streams = tuple(stream for stream in world.model.streams if stream.name != "caption")
    model = FourM(streams, FourMConfig(size=Size.nano, encoder_depth=1, decoder_depth=1))
    known = {name: item for name, item in world.gallery_data.codec.modalities.items() if name != "caption"}
    codec = replace(world.gallery_data.codec, modalities=known)
    found = make_gallery(model, replace(world.gallery_data, codec=codec, num=1), request_to_argv)
    assert [item.name for item in found] == ["from_image", "in_painting", "from_nothing"]
    assert found[0].sheet.columns == ("RGB, given", "Depth", "Semantic segmentation", "Bounding boxes")
    assert "No sheet from_caption: the model cannot predict caption." in caplog.text
    assert model.training


def test_a_sheet_whose_inputs_no_scene_has_is_left_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    values: dict[str, Any] = {**world.gallery_data.values, "bounding_boxes": [()] * 5}
    values["caption"] = ["", "", "", "a red ball", ""]
    gallery_data = replace(world.gallery_data, values=values, num=1)
    assert gallery_data.sample(0, ("caption", "rgb")) == 3
    assert gallery_data.sample(4, ("caption", "rgb")) == 3
    found = make_gallery(world.model, gallery_data, request_to_argv)
    assert "example" not in [item.name for item in found]
    assert "No sheet example: no held-out sample has what it asks for." in caplog.text
