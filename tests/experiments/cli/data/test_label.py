"""`fourm label` from the command line, on scenes."""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.feature import canny as reference_canny

from experiments.cli.main import main
from experiments.labelling import records
from lightning_modules.labelling.weights import hash_weights
from modalities.registry import default_registry
from modalities.scenes.scene import make_scene
from modalities.scenes.world import split_seed
from modalities.storage.atomic import atomic_write_text
from tests.lightning_modules.labelling import tiny_models


def label(out: Path, *options: str, to: str = "canny_edges", source: str = "scenes") -> int:
    return main(["label", source, "--to", to, "--out", str(out), "--limit", "3", "--size", "48", *options])


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".labels" not in path.parts and not path.name.endswith(".labels.json")
    }


def test_labels_lie_beside_what_they_are_made_from(tmp_path: Path) -> None:
    assert label(tmp_path, "--copy", "rgb", "--split", "train,test", to="canny_edges,metadata_image") == 0
    expected = {f"{split}/{name}" for split in ("train", "test") for name in ("rgb", "canny_edges", "metadata_image")}
    assert {str(Path(name).parent) for name in files(tmp_path)} == expected
    scene = make_scene(split_seed("test", 2), size=48)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "test/rgb/2.png")), scene.rgb)
    edges = default_registry()["canny_edges"].read_file(tmp_path / "test/canny_edges/2.png")
    gray = scene.rgb @ np.array([0.2125, 0.7154, 0.0721]) / 255
    reference: Any = reference_canny(  # type: ignore[no-untyped-call]
        gray, sigma=1.0, low_threshold=0.2, high_threshold=0.5, mode="mirror"
    )
    assert (edges != reference).mean() < 0.01


def test_a_record_says_who_made_the_labels(tmp_path: Path) -> None:
    assert label(tmp_path, "--set", "canny_edges.sigma=2") == 0
    record = json.loads((tmp_path / "canny_edges.labels.json").read_text())
    assert record["labelled"] == 9
    assert record["settings"] == {"sigma": 2.0, "low": 0.2, "high": 0.5}
    assert (record["provenance"], record["source"]["license"], record["size"]) == ("exact", "CC0-1.0", 48)


def test_what_is_done_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(tmp_path) == 0
    before = files(tmp_path)
    assert label(tmp_path, "--shard", "2") == 0
    assert "0 labels made, 9 were there" in capsys.readouterr().out
    assert files(tmp_path) == before
    assert json.loads((tmp_path / "canny_edges.labels.json").read_text())["labelled"] == 9


def test_a_label_that_is_lost_is_made_again(tmp_path: Path) -> None:
    assert label(tmp_path, "--shard", "2") == 0
    before = files(tmp_path)
    (tmp_path / "train/canny_edges/2.png").unlink()
    assert label(tmp_path, "--shard", "2") == 0
    after = files(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"train/canny_edges/2.png"}


def test_parts_share_the_work(tmp_path: Path) -> None:
    assert label(tmp_path / "one", "--shard", "1") == 0
    for part in ("1/2", "2/2"):
        assert label(tmp_path / "two", "--shard", "1", "--part", part) == 0
    assert {*files(tmp_path / "one")} == {*files(tmp_path / "two")}
    assert json.loads((tmp_path / "two/canny_edges.labels.json").read_text())["labelled"] == 9


def test_processes_give_the_labels_of_one(tmp_path: Path) -> None:
    targets = "canny_edges,sam_edges,color_palette"
    assert label(tmp_path / "one", to=targets) == 0
    assert label(tmp_path / "two", "--workers", "2", "--shard", "2", to=targets) == 0
    assert {*files(tmp_path / "one")} == {*files(tmp_path / "two")}
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_tars_hold_the_files_of_the_folder(tmp_path: Path) -> None:
    assert label(tmp_path / "folder", to="canny_edges,color_palette") == 0
    assert label(tmp_path / "tars", "--format", "webdataset", "--shard", "2", to="canny_edges,color_palette") == 0
    for modality, suffix in (("canny_edges", ".png"), ("color_palette", ".json")):
        shards = sorted((tmp_path / "tars/train" / modality).iterdir())
        assert [path.name for path in shards] == ["shard-00000.tar", "shard-00001.tar"]
        members: dict[str, bytes] = {}
        for path in shards:
            with tarfile.open(path) as tar:
                members |= {item.name: tar.extractfile(item).read() for item in tar}  # type: ignore[union-attr]
        assert members == {path.name: path.read_bytes() for path in (tmp_path / "folder/train" / modality).iterdir()}
        assert {*members} == {f"{number}{suffix}" for number in range(3)}


def test_labels_are_made_from_labels_of_the_same_call(tmp_path: Path) -> None:
    assert label(tmp_path, "--set", "normals.fov=60", to="normals,metadata_geometric") == 0
    made = np.load(tmp_path / "train/normals/0.npy")
    facts = json.loads((tmp_path / "train/metadata_geometric/0.json").read_text())
    mean = made.reshape(-1, 3).mean(0, dtype=np.float64)
    assert facts["geometric_complexity"] == pytest.approx(1 - np.sqrt(mean @ mean), abs=1e-6)
    # In a later call the file of the earlier one is taken.
    (tmp_path / ".labels/metadata_geometric/train-00000.json").unlink()
    (tmp_path / "train/metadata_geometric/0.json").unlink()
    assert label(tmp_path, "--set", "normals.fov=60", to="normals,metadata_geometric") == 0
    again = json.loads((tmp_path / "train/metadata_geometric/0.json").read_text())
    assert again == pytest.approx(facts)


def test_an_expert_labels_with_its_own_classes(tmp_path: Path) -> None:
    model = tiny_models.segformer(tmp_path / "model")
    options = ["--expert", f"semseg={model}", "--set", "semseg.device=cpu"]
    assert label(tmp_path / "out", *options, to="semseg,metadata_semantic") == 0
    assert (tmp_path / "out/semseg.classes.txt").read_text().split("\n") == ["ground", "sky", "N/A", "dog", ""]
    record = json.loads((tmp_path / "out/semseg.labels.json").read_text())
    assert (record["provenance"], record["license"], record["classes"]) == (
        "expert",
        "apache-2.0",
        "semseg.classes.txt",
    )
    assert record["weights"] == hash_weights(model)
    classes = np.asarray(Image.open(tmp_path / "out/train/semseg/1.png"))
    facts = json.loads((tmp_path / "out/train/metadata_semantic/1.json").read_text())
    assert facts["semantic_diversity"] == len(np.unique(classes))
    assert facts["objectness"] == pytest.approx((classes == 3).mean())
    assert "walkability" not in facts


def error_of(capsys: pytest.CaptureFixture[str], status: int) -> str:
    assert status == 1
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "depth"], "No labeller makes 'depth'. Labellers make canny_edges, color_palette,"),
        (["--to", "normals"], "only if the camera's angle of view is known: --set normals.fov=60"),
        (["--to", "canny_edges,canny_edges"], "name it once"),
        (["--to", "canny_edges", "--set", "depth.near=1"], "is for a modality that is not made; made are canny_edges"),
        (["--to", "canny_edges", "--set", "sigma=1"], "--set takes MODALITY.SETTING=VALUE"),
        (["--to", "canny_edges", "--labeller", "canny_edges=color_palette"], "makes 'color_palette', not 'canny_edg"),
        (["--to", "canny_edges", "--part", "3/2"], "--part takes NUMBER/COUNT with a number from 1 to the count"),
        (["--to", "canny_edges", "--split", "trian"], "No split of scenes named 'trian'. Did you mean 'train'?"),
        (["--to", "canny_edges", "--shard", "0"], "--shard must be 1 or more"),
        (["--to", "canny_edges", "--expert", "depth=x"], "--expert depth=… is for a modality that is not made"),
        (["--to", "depth", "--expert", "depth=/no/model"], "There is no folder /no/model"),
        ([], "fourm label needs a source, --to and --out"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], message: str
) -> None:
    arguments = ["label", "scenes", "--out", str(tmp_path / "out"), "--limit", "1", "--size", "48", *options]
    assert message in error_of(capsys, main(arguments))
    assert not files(tmp_path)


def test_scenes_without_a_limit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["label", "scenes", "--to", "canny_edges", "--out", str(tmp_path)])
    assert "scenes has samples without end: say how many of each split, as in --limit 64." in error_of(capsys, status)


def test_a_mixture_without_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"source": {"kind": "mixture", "options": {"sources": [{"kind": "scenes", "weight": 1}]}}}
    (tmp_path / "data.yaml").write_text(json.dumps({"data": settings}))
    status = main(["label", str(tmp_path / "data.yaml"), "--to", "canny_edges", "--out", str(tmp_path / "out")])
    assert "mixture has samples without end" in error_of(capsys, status)


def test_tars_of_another_count_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(tmp_path, "--format", "webdataset", "--shard", "1") == 0
    message = error_of(capsys, label(tmp_path, "--format", "webdataset", "--shard", "2"))
    assert "canny_edges has 1 tars beyond the 2 of this call, such as shard-00002.tar" in message
    assert label(tmp_path, "--format", "webdataset", "--shard", "1") == 0


def test_a_shard_that_another_part_ends_meanwhile_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert label(tmp_path, "--shard", "1") == 0
    summary, path = tmp_path / "canny_edges.labels.json", tmp_path / ".labels/canny_edges/train-00001.json"
    content = path.read_text()
    path.unlink()
    write = atomic_write_text

    def write_late(file: Path, text: str) -> None:
        if file == summary and not path.exists():
            path.write_text(content)
        write(file, text)

    monkeypatch.setattr(records, "atomic_write_text", write_late)
    assert label(tmp_path, "--shard", "1", "--part", "1/3") == 0
    assert json.loads(summary.read_text())["labelled"] == 9


def test_labels_with_other_settings_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label(tmp_path) == 0
    message = error_of(capsys, label(tmp_path, "--set", "canny_edges.sigma=2"))
    assert "was labelled by canny_edges with the settings" in message
    before = files(tmp_path)
    assert label(tmp_path, "--set", "canny_edges.sigma=2", "--replace") == 0
    assert all(before[name] != time for name, time in files(tmp_path).items())


def test_files_of_a_person_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train/canny_edges").mkdir(parents=True)
    (tmp_path / "train/canny_edges/0.png").write_bytes(b"mine")
    assert "holds files that `fourm label` did not make" in error_of(capsys, label(tmp_path))
    assert (tmp_path / "train/canny_edges/0.png").read_bytes() == b"mine"


def test_the_labellers_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["label", "--list"]) == 0
    out = capsys.readouterr().out
    assert "normals_from_depth" in out
    assert "Depth: depth_anything, dpt, glpn" in out
