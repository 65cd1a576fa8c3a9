"""Labels follow what they are made from: other labels, changed data, settings of the source; no older one stays."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from experiments.cli.main import main
from modalities.registry import default_registry
from modalities.sources.webdataset.write import write_tar


def label(source: str, out: Path, to: str, *options: str) -> int:
    return main(["label", source, "--to", to, "--out", str(out), "--shard", "2", *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def write_depth(folder: Path, name: str, seed: int) -> None:
    values: Any = np.random.default_rng(seed).uniform(1, 5, (24, 24)).astype(np.float32)
    (folder / "depth").mkdir(parents=True, exist_ok=True)
    default_registry()["depth"].write_file(folder / "depth" / f"{name}{default_registry()['depth'].suffix}", values)


def write_photo(folder: Path, name: str, seed: int = 0, mode: str = "RGB") -> Path:
    (folder / "rgb").mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (24, 24, len(mode)), dtype=np.uint8)
    path = folder / "rgb" / f"{name}.png"
    Image.fromarray(levels, mode).save(path)
    return path


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_labels_of_labels_follow_them(tmp_path: Path, form: str) -> None:
    data, to = tmp_path / "data", "normals,metadata_geometric"
    for number in range(3):
        write_depth(data, str(number), number)
    assert label(f"folder:{data}", tmp_path / "out", to, "--format", form, "--set", "normals.fov=60") == 0
    options = ("--format", form, "--set", "normals.fov=110", "--replace")
    assert label(f"folder:{data}", tmp_path / "out", to, *options) == 0
    assert label(f"folder:{data}", tmp_path / "other", to, *options) == 0
    for name in ("normals", "metadata_geometric"):
        fresh = {key: value for key, value in contents(tmp_path / "other").items() if f"{name}/" in key}
        assert fresh
        assert {key: contents(tmp_path / "out")[key] for key in fresh} == fresh
    write_depth(data, "1", 7)
    assert label(f"folder:{data}", tmp_path / "out", to, *options) == 0
    assert label(f"folder:{data}", tmp_path / "third", to, *options) == 0
    fresh = {key: value for key, value in contents(tmp_path / "third").items() if "metadata_geometric/" in key}
    assert {key: contents(tmp_path / "out")[key] for key in fresh} == fresh


def test_no_older_label_stays_where_there_is_none_now(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for number in range(3):
        write_photo(data, str(number), number)
    (data / "caption").mkdir()
    for number in range(2):
        (data / f"caption/{number}.txt").write_text("A dog.")
    to = "canny_edges,metadata_semantic"
    assert label(f"folder:{data}", out, to) == 0
    write_photo(data, "2").write_bytes(b"damaged")
    (data / "caption/0.txt").unlink()
    (out / "metadata_semantic/2.json").write_text("{}")
    assert label(f"folder:{data}", out, to, "--on-error", "skip") == 0
    assert {path.stem for path in (out / "canny_edges").iterdir()} == {"0", "1"}
    # The file of 2 is no label that was made here.
    assert {path.stem for path in (out / "metadata_semantic").iterdir()} == {"1", "2"}


def test_dots_in_keys_do_not_end_names_in_tars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    write_photo(data, "p.v1")
    write_photo(data, "p.v2")
    options = ("--format", "webdataset", "--split", "train")
    keys, config = tmp_path / "train.txt", tmp_path / "data.yaml"
    keys.write_text("p.v1\np.v2\n")
    source = {"kind": "folder", "path": str(data), "options": {"splits": {"train": str(keys)}}}
    OmegaConf.save({"data": {"source": source}}, config)
    assert label(str(config), tmp_path / "out", "canny_edges", *options) == 0
    with tarfile.open(tmp_path / "out/train/canny_edges/shard-00000.tar") as tar:
        assert tar.getnames() == ["p_v1.png", "p_v2.png"]
    write_photo(data, "p_v1")
    keys.write_text("p.v1\np_v1\n")
    capsys.readouterr()
    assert label(str(config), tmp_path / "two", "canny_edges", *options) == 1
    assert "The keys 'p.v1' and 'p_v1' of shard train-00000 differ in dots alone" in " ".join(
        capsys.readouterr().err.split()
    )


def test_transparent_pixels_have_the_source_s_background(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out, config = tmp_path / "data", tmp_path / "out", tmp_path / "data.yaml"
    (data / "rgb").mkdir(parents=True)
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(data / "rgb/one.png")
    for color, levels in (("black", 0), ("white", 255)):
        OmegaConf.save(
            {"data": {"source": {"kind": "folder", "path": str(data), "options": {"background": color}}}}, config
        )
        assert main(["label", str(config), "--copy", "rgb", "--out", str(out)]) == 0
        assert (np.asarray(Image.open(out / "rgb/one.png")) == levels).all()
    capsys.readouterr()
    assert main(["label", str(config), "--copy", "rgb", "--out", str(out)]) == 0
    assert "0 labels made, 1 were there" in capsys.readouterr().out


def test_labels_follow_changed_tars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        members = [(f"{key}.png", write_photo(tmp_path, "scratch", 9 * number + key).read_bytes()) for key in range(2)]
        write_tar(tmp_path / f"tars/train/rgb/shard-{number:05d}.tar", members)
    assert label(f"webdataset:{tmp_path / 'tars'}", tmp_path / "out", "canny_edges") == 0
    members = [(f"{key}.png", write_photo(tmp_path, "scratch", 50 + key).read_bytes()) for key in range(2)]
    write_tar(tmp_path / "tars/train/rgb/shard-00001.tar", members)
    capsys.readouterr()
    assert label(f"webdataset:{tmp_path / 'tars'}", tmp_path / "out", "canny_edges") == 0
    assert "2 labels made, 2 were there" in capsys.readouterr().out
