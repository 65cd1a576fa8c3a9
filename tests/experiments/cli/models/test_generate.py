"""``fourm generate`` from end to end on a model that has learnt nothing: what is written, and each mistake's line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli.main import main
from tests.experiments.small_folder import make_model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder beside a picture of 48 x 40 pixels and masks."""
    root = tmp_path_factory.mktemp("generate")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(root / "photo.png")
    hole = np.zeros((40, 48), dtype=np.uint8)
    hole[10:20, 24:44] = 255
    Image.fromarray(hole).save(root / "mask.png")
    Image.fromarray(hole[:30]).save(root / "small.png")
    return make_model_folder(root / "model")


def _generate(folder: Path, out: Path, *options: str) -> int:
    torch.set_num_threads(1)
    return main(["generate", "--model", str(folder), "--out", str(out), *options])


def test_an_image_and_a_text_become_everything_else(folder: Path, tmp_path: Path) -> None:
    photo = folder.parent / "photo.png"
    code = _generate(
        folder,
        tmp_path / "out",
        *("--from", f"rgb={photo}", "--from", "caption=a red ball [S_1]", "--to", "depth,boxes,caption"),
        *("--steps", "depth=3", "--seed", "3", "--num", "2"),
    )
    assert code == 0
    record = json.loads((tmp_path / "out" / "generation.json").read_text())
    assert record["targets"] == ["depth", "caption", "bounding_boxes"]
    assert record["settings"]["depth"]["steps"] == 3
    assert record["seed"] == 3
    assert len(record["results"]["depth"]) == 2
    assert all(item["text"].startswith("a red ball") for item in record["results"]["caption"])
    for name in ("sheet.png", "depth_00_picture.png", "depth_01_picture.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.size[0] > 100


def test_the_same_seed_gives_the_same_and_each_variation_is_one_of_its_own(folder: Path, tmp_path: Path) -> None:
    options = ("--from", "caption=a person", "--to", "depth", "--steps", "4", "--temperature", "1")
    for name, seed, num in (("a", "1", "3"), ("b", "1", "3"), ("c", "2", "3"), ("d", "1", "1")):
        assert _generate(folder, tmp_path / name, *options, "--seed", seed, "--num", num) == 0
    tokens = {name: json.loads((tmp_path / name / "generation.json").read_text())["tokens"]["depth"] for name in "abcd"}
    assert tokens["a"] == tokens["b"] != tokens["c"]
    assert tokens["a"][0] != tokens["a"][1]
    assert tokens["d"] == tokens["a"][:1]


def test_a_masked_image_is_generated_anew_where_the_mask_is_white(folder: Path, tmp_path: Path) -> None:
    photo, mask = folder.parent / "photo.png", folder.parent / "mask.png"
    code = _generate(
        folder,
        tmp_path,
        "--from",
        f"rgb={photo}",
        "--mask",
        f"rgb={mask}",
        "--to",
        "rgb",
        "--steps",
        "2",
        "--num",
        "2",
        "--seed",
        "5",
    )
    assert code == 0
    one, other = json.loads((tmp_path / "generation.json").read_text())["tokens"]["rgb"]
    # The centre square leaves out 4 columns on the left, so that the hole is columns 20 to 39 of 40, in rows 10 to 19.
    hole = {6, 7}
    assert {place for place in range(16) if one[place] != other[place]} <= hole
    assert one != other


def test_instances_are_found_at_many_points_and_merged(folder: Path, tmp_path: Path) -> None:
    photo = folder.parent / "photo.png"
    options = ("--from", f"rgb={photo}", "--to", "depth,instances", "--num-points", "4", "--temperature", "instances=1")
    assert _generate(folder, tmp_path, *options) == 0
    record = json.loads((tmp_path / "generation.json").read_text())
    assert len(record["results"]["sam_instances"]) == 1
    assert record["results"]["sam_instances"][0]["value"]["size"] == [32, 32]


def test_nothing_given_is_unconditional(folder: Path, tmp_path: Path) -> None:
    assert _generate(folder, tmp_path, "--to", "semseg,caption", "--steps", "semseg=2") == 0
    assert (tmp_path / "semseg_picture.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to", "dpeth"), "No target of this model named 'dpeth'. Did you mean 'depth'?"),
        (("--to", "t5_caption"), "t5_caption is an input only and cannot be generated. Targets: rgb, depth"),
        (("--from", "rgb=PHOTO", "--mask", "rgb=SMALL", "--to", "rgb"), "is 48 x 30 pixels, but"),
        (("--from", "rgb=nowhere.png", "--to", "depth"), "nowhere.png"),
        (("--from", "sound=a.wav", "--to", "depth"), "No modality of this model named 'sound'"),
        (("--from", "rgb", "--to", "depth"), "--from takes NAME=VALUE, got 'rgb'."),
        (("--mask", "rgb=MASK", "--to", "depth"), "masks an input that --from does not give"),
        (
            ("--from", "caption=a b", "--mask", "caption=MASK", "--to", "depth"),
            "caption is a sequence and takes no mask",
        ),
        (("--from", "rgb=PHOTO", "--to", "rgb"), "known everywhere: mask what is to be generated"),
        (("--from", "caption=" + "red " * 60 + "[S_1]", "--to", "depth"), "caption takes at most 40: a text with gaps"),
        (("--from", "caption=a [S_3]", "--to", "caption"), "numbered [S_1], [S_2], ... in order, got [S_3]"),
        (("--to", "depth", "--steps", "17"), "depth has 16 tokens and cannot be generated in 17 steps"),
        (("--to", "depth", "--steps", "many"), "--steps takes a number, got 'many'"),
        (("--to", "depth", "--scheme", "best"), "--scheme takes one of maskgit, roar, got 'best'"),
        (("--to", "depth", "--steps", "rgb=3"), "No target with steps named 'rgb'"),
        (("--to", "depth", "--temperature", "warm"), "'warm' is not a temperature"),
        (("--to", "depth", "--top-p", "0"), "top_p must be above 0 and at most 1, got 0.0"),
        (("--from", "caption=a", "--to", "depth", "--conditions", "rgb=2"), "names the condition 'rgb'"),
        (("--to", "depth", "--conditions", "rgb"), "'rgb' is not a weighted condition"),
        (("--to", "depth", "--num", "0"), "num must be at least 1, got 0"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    names = {"PHOTO": "photo.png", "SMALL": "small.png", "MASK": "mask.png"}
    for short, file in names.items():
        options = tuple(option.replace(short, str(folder.parent / file)) for option in options)
    assert _generate(folder, tmp_path / "out", *options) == 1
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()
