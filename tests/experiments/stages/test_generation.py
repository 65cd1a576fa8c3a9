"""The generation sheets of an ablation: where they lie, and that the commands under them make them again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from experiments.cli.main import main
from experiments.planning import build_stage_plan
from experiments.schema.load import build_modalities, load_config
from experiments.stages.context import StageContext
from experiments.stages.generation import load_galleries
from experiments.tracking import tracking_uri
from lightning_modules.inference.gallery.gallery import GalleryItem
from modalities.registry import default_registry
from modalities.rendering.sheet import render_tile
from tests.experiments.miniature import ROOT, command_line

NAMES = ["from_image", "from_caption", "in_painting", "example", "weighted", "from_nothing"]


def _exhibits(root: Path) -> dict[str, list[GalleryItem]]:
    _, _, *overrides = command_line(root)
    config = load_config(ROOT / "experiments" / "configs" / "quickstart.yaml", overrides)
    plan = build_stage_plan(config, build_modalities(config, default_registry()))
    inputs = {name: plan.folder(name) for name in plan.stages}
    return load_galleries(
        StageContext(config=config, stage=plan.stages["report"], inputs=inputs, folder=root / "unused")
    )


def test_every_arm_has_every_sheet_in_the_ablations_folder(finished: Path) -> None:
    for arm, exhibits in _exhibits(finished).items():
        folder = finished / "mini" / "generated" / arm
        assert [item.name for item in exhibits] == NAMES
        assert {path.stem for path in folder.glob("*.png")} == set(NAMES)
        assert (folder / "given" / "in_painting_mask.png").is_file()
        page = (folder / "README.md").read_text()
        assert all(f"({name}.png)" in page for name in NAMES)
        assert exhibits[0].sentence in page
    assert "ImageBind features (proxy)" in exhibits[0].sheet.columns
    assert (finished / "mini" / "report.html").read_text().count(exhibits[0].sentence) == 2


@pytest.mark.parametrize("name", NAMES)
def test_the_command_under_a_sheet_makes_it_again(finished: Path, tmp_path: Path, name: str) -> None:
    torch.set_num_threads(1)
    exhibit = next(item for item in _exhibits(finished)["fourm_7"] if item.name == name)
    for number, command in enumerate(exhibit.commands):
        assert command[:2] == ("fourm", "generate")
        assert main([*command[1:], "--out", str(tmp_path)]) == 0
        label = ", weighted" if number else ", unguided" if name == "weighted" else ""
        title, stem = f"RGB{label}", "rgb"
        if name == "from_image":
            title, stem = "Depth", "depth"
        column = exhibit.sheet.columns.index(title)
        files = sorted(tmp_path.glob(f"{stem}*_picture.png"))
        assert len(files) == (1 if name == "from_image" else 2)
        for row, file in enumerate(files):
            with Image.open(file) as picture:
                shown = np.asarray(exhibit.sheet.rows[row][column])
                np.testing.assert_array_equal(np.asarray(picture), np.asarray(render_tile(shown, 448)))


def test_another_seed_makes_another_sheet(finished: Path, tmp_path: Path) -> None:
    exhibit = next(item for item in _exhibits(finished)["fourm_7"] if item.name == "from_nothing")
    assert main([*exhibit.commands[0][1:-1], "1", "--out", str(tmp_path)]) == 0
    column = exhibit.sheet.columns.index("RGB")
    with Image.open(tmp_path / "rgb_00_picture.png") as picture:
        assert (np.asarray(picture) != np.asarray(render_tile(np.asarray(exhibit.sheet.rows[0][column]), 448))).any()


def test_the_ledger_has_every_sheet_as_a_picture(finished: Path) -> None:
    client = MlflowClient(tracking_uri(finished, None))
    experiment = client.get_experiment_by_name("fourm-lab")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    run = next(run for run in runs if run.info.run_name == "generation/fourm_21")
    pictures = [item.path for item in client.list_artifacts(run.info.run_id, "images")]
    assert all(any(name in path for path in pictures) for name in NAMES)
