"""What a person gets wrong is answered by one line and exit status 1, and leaves nothing half-written."""

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from experiments.cli.main import main
from lightning_modules.checkpoints.tokenizer import tokenizer_fingerprint
from lightning_modules.data.raw import write_raw_column
from modalities.registry import default_registry
from tests.experiments.miniature import ablate, finished_stages, partial_files


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    mistakes = [line for line in lines if line.startswith("fourm: ")]
    assert len(mistakes) == 1, lines
    assert lines[-1] == mistakes[0]
    return mistakes[0]


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """Stages of the finished miniature that a test may damage."""
    shutil.copytree(finished / "stages", tmp_path / "stages")
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"arms.a": "[rgb,dpeth]"}, "No modality named 'dpeth'. Did you mean 'depth'?"),
        ({"modle.size": "tiny"}, "no setting is called 'modle'. Did you mean 'model'?"),
        ({"model.size": "huge"}, "expected one of [nano, tiny, small, B, L, XL]"),
        ({"training.batch_size": "64"}, "24 training samples are fewer than one step takes: batch size 64"),
        ({"executor.devices": "two"}, "could not be converted to Integer"),
    ],
)
def test_a_wrong_setting(
    changes: dict[str, str], expected: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = finished_stages(finished)
    assert ablate(finished, **changes) == 1
    assert expected in line_of(capsys)
    assert finished_stages(finished) == before
    assert partial_files(finished) == []


def test_a_config_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "quickstrat"]) == 1
    assert "Did you mean 'quickstart'?" in line_of(capsys)


def test_a_truncated_token_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(copy.glob("stages/columns/tokens/train/*/depth-*/tokens.npy"))
    os.truncate(file, file.stat().st_size - 40)
    before = finished_stages(copy)
    assert ablate(copy, training__val_every=2) == 1
    said = line_of(capsys)
    assert f"{file} has" in said
    assert "expected" in said
    assert "truncated" in said
    assert finished_stages(copy) == before
    assert partial_files(copy) == []


def test_two_flipped_bytes_of_a_token_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(copy.glob("stages/columns/tokens/train/*/depth-*/tokens.npy"))
    content = file.read_bytes()
    file.write_bytes(content[:-2] + bytes(255 - byte for byte in content[-2:]))
    assert ablate(copy, training__val_every=2) == 1
    assert f"{file} is damaged: its checksum is" in line_of(capsys)


def test_a_tokenizer_that_is_not_the_one_that_made_the_tokens(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(copy.glob("stages/tokenizer-depth-*"))
    before = tokenizer_fingerprint(folder)
    change_weights(folder)
    assert ablate(copy, training__val_every=2) == 1
    said = line_of(capsys)
    assert "/depth-" in said
    assert f" holds tokens of tokenizer {before}, expected {tokenizer_fingerprint(folder)}: " in said


def change_weights(folder: Path) -> None:
    """Make a tokenizer another one of the same sizes."""
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: 2 * item if item.is_floating_point() else item for name, item in weights.items()},
        folder / "model.safetensors",
    )


def test_token_streams_with_unequal_counts(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The second shard has lost its depth to the validation shard's, whose count is another.
    column = next(copy.glob("stages/columns/tokens/train/00000012-*/depth-*"))
    shutil.rmtree(column)
    shutil.copytree(next(copy.glob("stages/columns/tokens/validation/*/depth-*")), column)
    assert ablate(copy, training__val_every=2) == 1
    said = line_of(capsys)
    assert "unequal counts" in said
    assert "depth 20" in said
    assert "rgb 24" in said


def test_a_folder_of_raw_values_with_unequal_counts(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column = next(copy.glob("stages/columns/data/train/00000000-*/caption-*"))
    write_raw_column(column, default_registry()["caption"], ["one caption"] * 9)
    shutil.rmtree(next(copy.glob("stages/columns/tokens/train/00000000-*/caption-*")))
    assert ablate(copy) == 1
    said = line_of(capsys)
    assert f"{column.parent} has unequal counts of values: caption 9, keys 12. Make it again." in said


def test_a_column_that_is_deleted_is_made_again_alone(copy: Path) -> None:
    columns = [*copy.glob("stages/columns/*/train/*/depth-*"), *copy.glob("stages/columns/data/train/*/depth-*")]
    content = {path: path.read_bytes() for column in columns for path in column.iterdir()}
    others = [path for path in copy.glob("stages/columns/*/*/*/*") if path not in columns and path.is_dir()]
    times = {path: path.stat().st_mtime_ns for path in others}
    for column in set(columns):
        shutil.rmtree(column)
    assert ablate(copy) == 0
    assert {path: path.read_bytes() for column in columns for path in column.iterdir()} == content
    assert {path: path.stat().st_mtime_ns for path in others} == times


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a few hundred kilobytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield place
    gc.collect()  # A ledger that nobody holds any more lets go of its file.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(tiny_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The ledger is elsewhere, so that it is a stage that finds the disk full.
    uri = f"sqlite:///{tmp_path / 'ledger.db'}"
    assert ablate(tiny_disk, tracking__uri=uri) == 1
    assert "No space left on device" in line_of(capsys)
    assert partial_files(tiny_disk) == []
    done = finished_stages(tiny_disk)
    assert done
    assert {path.name for path in (tiny_disk / "stages").iterdir()} == {*done, "columns"}


def test_a_full_disk_below_the_ledger(tiny_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_disk / "ballast").write_bytes(bytes(2_300_000))
    assert ablate(tiny_disk) == 1
    said = line_of(capsys)
    assert "full" in said or "No space left" in said


def test_a_ledger_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(tmp_path, tracking__uri="nonsense://nowhere") == 1
    assert "The tracking store nonsense://nowhere cannot be used" in line_of(capsys)
    assert ablate(tmp_path, tracking__uri="http://127.0.0.1:9") == 1
    assert "http://127.0.0.1:9 does not answer" in line_of(capsys)


def test_a_root_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert ablate(tmp_path / "file") == 1
    assert str(tmp_path / "file") in line_of(capsys)
