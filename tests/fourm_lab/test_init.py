"""The front door: what it loads, what it runs, and what it finds on Python's path."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning import Callback

import fourm_lab as fl
from experiments.tracking import MODEL_ARTIFACTS, tracking_uri
from lightning_modules.checkpoints.find import find_model
from modalities.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_importing_it_loads_no_torch(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import fourm_lab; print('torch' in sys.modules)"
    done = run_python(code, tmp_path)
    assert done.stdout.strip() == "False", done.stderr
    begin = time.perf_counter()
    run_python(code, tmp_path)
    assert time.perf_counter() - begin < 10


@pytest.mark.parametrize("is_package", [True, False])
def test_a_folder_that_shadows_a_package_is_named(tmp_path: Path, is_package: bool) -> None:
    (tmp_path / "evaluation").mkdir()
    if is_package:
        (tmp_path / "evaluation" / "__init__.py").touch()
    code = f"import sys; sys.path.insert(1, {str(ROOT)!r}); import fourm_lab"
    done = run_python(code, tmp_path)
    if not is_package:
        # A folder without __init__.py gives way to a package further down the path.
        assert done.returncode == 0, done.stderr
        return
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("ImportError: fourm_lab needs its own package 'evaluation'")
    assert str(tmp_path / "evaluation") in line


def test_every_modality_is_listed() -> None:
    names = fl.list_modalities()
    assert {"rgb", "depth", "caption"} <= set(names)
    assert names == sorted(names)


def test_a_model_is_loaded_by_its_ablation_its_folder_and_its_run(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    by_ablation = fl.load("runs/quickstart", arm="small", seed=0)
    assert isinstance(by_ablation, fl.Pipeline)
    assert by_ablation.targets == ["rgb", "depth", "caption"]
    store = tracking_uri(inside / "runs", None)
    client = MlflowClient(store)
    (experiment,) = [item for item in client.search_experiments() if item.name == "fourm-lab"]
    runs = client.search_runs([experiment.experiment_id])
    run = next(item for item in runs if item.info.run_name == "model/small/0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    places = (
        find_model(Path("runs/quickstart")),
        f"runs:/{run.info.run_id}",
        f"runs:/{run.info.run_id}/{MODEL_ARTIFACTS}",
    )
    picture = np.full((64, 64, 3), 100, dtype=np.uint8)
    expected = by_ablation.predict({"rgb": picture}, to="depth")["depth"]
    for place in places:
        np.testing.assert_array_equal(fl.load(place).predict({"rgb": picture}, to="depth")["depth"], expected)


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("runs", {}, "neither a model's folder nor an ablation's"),
        ("runs/quickstart", {"arm": "large"}, "has no model of arm 'large'"),
        ("runs:/nothing", {}, "nothing"),
    ],
)
def test_what_is_no_model_is_one_line(inside: Path, place: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        fl.load(place, **options)
    assert "\n" not in str(raised.value)


def test_an_ablation_gives_a_row_a_figure_and_its_callbacks_run(inside: Path) -> None:
    steps = []

    class Recorder(Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            steps.append(1)

    result = fl.ablate("quickstart", {"optim.total_tokens": 3e4, "name": "recorded"}, callbacks=[Recorder()])
    assert len(steps) >= 2
    assert {"arm", "seed", "route", "target", "metric", "value", "unit"} <= set(result.scores.columns)
    rows = result.scores.query("route == 'rgb->depth' and metric == 'rmse'")
    assert len(rows) == 1
    assert np.isfinite(rows["value"].iloc[0])
    assert result.report.is_file()
    again = fl.ablate("quickstart", {"optim.total_tokens": 3e4, "name": "recorded"})
    assert again.scores["value"].tolist() == result.scores["value"].tolist()
    with pytest.raises(ConfigError, match="optim"):
        fl.ablate("quickstart", {"optim.totl_tokens": 1})


def test_the_pages_examples_run(inside: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    scope: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) >= 7
    for block in blocks:
        exec(compile(block, "python.md", "exec"), scope)
    out, many = scope["out"], scope["many"]
    assert (out["depth"].shape, out["depth"].dtype) == ((64, 64), np.float32)
    assert isinstance(out["caption"], str)
    assert [value.shape for value in many["rgb"]] == [(64, 64, 3)] * 4
    assert scope["pooled"].shape == scope["per_token"].shape[1:]
    assert scope["trainer"].global_step == 4
    assert (inside / "logs").is_dir()
