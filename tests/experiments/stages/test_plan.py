"""Stages: what makes a result another one, and what does not."""

import importlib
from pathlib import Path

import pytest

from experiments.planning import build_stage_plan
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities, load_config
from experiments.stages.data import plugin_file_hashes
from experiments.stages.plan import CHECKPOINT_FILE, DONE_FILE, StagePlan
from modalities.builtin.depth import Depth
from modalities.kinds.sequences import FreeTextModality
from modalities.metrics.base import collect
from modalities.metrics.maps import DepthRMSE
from modalities.registry import default_registry
from tests.modalities.test_registry import SALIENCY, install

SMALL = ["scale.size=64", "scale.patch=8", "data.train=20", "data.validation=8", "data.shard=10", "seeds=[0,1]"]


def _plan(tmp_path: Path, *overrides: str) -> tuple[ExperimentConfig, StagePlan]:
    config = load_config(None, [f"root={tmp_path}", *SMALL, *overrides])
    return config, build_stage_plan(config, build_modalities(config, default_registry()))


def test_tokenizers_are_made_once_and_models_for_each_arm_and_seed(tmp_path: Path) -> None:
    _, plan = _plan(tmp_path)
    assert len(plan.stages_of_kind("tokenizer")) == 12
    assert len(plan.stages_of_kind("text")) == 1
    for kind in ("data", "tokens"):
        found = {stage.name: stage.num_items for stage in plan.stages_of_kind(kind)}
        assert found == {f"{kind}/train": 2, f"{kind}/validation": 1}
    assert len(plan.stages_of_kind("model")) == len(plan.stages_of_kind("evaluation")) == 4
    assert [stage.name for stage in plan.stages_of_kind("generation")] == ["generation/fourm_7", "generation/fourm_21"]
    assert all(stage.run_args["seed"] == 0 for stage in plan.stages_of_kind("generation"))


def test_ten_million_samples_are_a_plan_of_as_many_stages(tmp_path: Path) -> None:
    _, few = _plan(tmp_path)
    _, many = _plan(tmp_path, "data.train=10_000_000", "data.shard=500")
    assert list(many.stages) == list(few.stages)
    assert many.stages["data/train"].num_items == many.stages["tokens/train"].num_items == 20_000


def test_what_cannot_be_read_makes_every_modality_decide_which_samples_there_are(tmp_path: Path) -> None:
    arms = ("arms.fourm_7=[rgb,depth]", "data.on_error=skip")
    plans = [_plan(tmp_path, *arms, f"arms.fourm_21={arm}")[1] for arm in ("[rgb,depth]", "[rgb,depth,normals]")]
    assert plans[0].signatures["tokenizer/rgb"] != plans[1].signatures["tokenizer/rgb"]
    _, other = _plan(tmp_path, *arms, "arms.fourm_21=[rgb,depth]", "data.max_errors=7")
    assert other.signatures["model/fourm_7/0"] == plans[0].signatures["model/fourm_7/0"]


def test_every_stage_stands_behind_its_inputs(tmp_path: Path) -> None:
    _, plan = _plan(tmp_path)
    seen: set[str] = set()
    for name, stage in plan.stages.items():
        assert seen.issuperset(stage.inputs)
        seen.add(name)


def _changed(tmp_path: Path, *overrides: str) -> set[str]:
    _, before = _plan(tmp_path)
    _, after = _plan(tmp_path, *overrides)
    return {stage.kind for name, stage in after.stages.items() if after.signatures[name] != before.signatures.get(name)}


def test_a_setting_changes_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    assert _changed(tmp_path, "optim.lr=1e-5") == {"model", "evaluation", "generation", "report"}
    assert _changed(tmp_path, "evaluation.num_samples=7") == {"baselines", "evaluation", "report"}
    assert _changed(tmp_path, "evaluation.num_generated=7") == {"generation", "report"}
    after_tokenizers = {"tokens", "model", "baselines", "evaluation", "generation", "report"}
    assert _changed(tmp_path, "tokenizer_optim.lr=1e-5") == {"tokenizer", *after_tokenizers}
    assert _changed(tmp_path, "executor.workers=7", "tracking.experiment=x") == set()
    assert _changed(tmp_path, "name=other") == {"report"}
    assert _changed(tmp_path, "training.checkpoint_minutes=3") == set()
    assert "data" in _changed(tmp_path, "data.shard=5")


def test_no_variations_are_no_stage_and_change_no_other(tmp_path: Path) -> None:
    _, before = _plan(tmp_path)
    _, after = _plan(tmp_path, "evaluation.num_generated=0")
    assert not after.stages_of_kind("generation")
    assert after.signatures == {
        name: after.signatures[name] if name == "report" else sign
        for name, sign in before.signatures.items()
        if before.stages[name].kind != "generation"
    }


def test_one_tokenizers_steps_change_that_tokenizer_alone(tmp_path: Path) -> None:
    _, before = _plan(tmp_path)
    _, after = _plan(tmp_path, "tokenizer_training.steps.depth=7")
    names = [
        stage.name
        for stage in before.stages_of_kind("tokenizer")
        if before.signatures[stage.name] != after.signatures[stage.name]
    ]
    assert names == ["tokenizer/depth"]


def test_half_written_folders_do_not_count_and_are_removed(tmp_path: Path) -> None:
    _, plan = _plan(tmp_path)
    whole, half = plan.folder("text"), plan.folder("data/train")
    whole.mkdir(parents=True)
    (whole / DONE_FILE).write_text("{}")
    half.mkdir()
    (plan.root / "stages" / ".text-abc.partial").mkdir()
    resumable = plan.root / "stages" / ".model-abc.partial"
    resumable.mkdir()
    (resumable / CHECKPOINT_FILE).write_bytes(b"anything")
    plan.remove_incomplete()
    assert plan.is_done("text")
    assert not half.exists()
    assert list((plan.root / "stages").glob(".*")) == [resumable]


def _kept(tmp_path: Path, before: str, after: str) -> set[str]:
    """The stages that stay the same when the arm ``a`` stands and others change."""
    plans = [_plan(tmp_path, "arms.fourm_7=[rgb,depth]", f"arms.fourm_21={arm}")[1] for arm in (before, after)]
    return {name for name, sign in plans[0].signatures.items() if plans[1].signatures.get(name) == sign}


def test_a_modality_more_or_less_leaves_what_has_nothing_to_do_with_it(tmp_path: Path) -> None:
    mine = {"tokenizer/rgb", "tokenizer/depth", "model/fourm_7/0", "model/fourm_7/1", "generation/fourm_7", "text"}
    grid = _kept(tmp_path, "[rgb,depth,caption]", "[rgb,depth,caption,normals]")
    assert grid == mine
    assert _kept(tmp_path, "[rgb,depth,caption,normals]", "[rgb,depth,caption]") == mine
    # Boxes are no prose: the words that the text tokenizer learns from are the same, and so are captions' tokens.
    assert _kept(tmp_path, "[rgb,depth,caption]", "[rgb,depth,caption,bounding_boxes]") == mine
    # A web text is, and a model is trained on other word pieces then.
    words = _kept(tmp_path, "[rgb,depth,caption]", "[rgb,depth,caption,web_text]")
    assert words == {"tokenizer/rgb", "tokenizer/depth"}


def test_what_decides_a_modality_changes_what_reads_it(tmp_path: Path) -> None:
    _, before = _plan(tmp_path)
    _, after = _plan(tmp_path, "tokenizer_training.steps.normals=7")
    changed = {name for name, sign in after.signatures.items() if before.signatures[name] != sign}
    assert {"tokenizer/normals", "tokens/train", "model/fourm_7/0", "baselines"} <= changed
    _, after = _plan(tmp_path, "tokenizer_training.steps.human_poses=7", "tokenizer_training.steps.body_pose=7")
    changed = {name for name, sign in after.signatures.items() if before.signatures[name] != sign}
    assert {"tokenizer/body_pose", "model/fourm_21/0", "tokens/train"} <= changed
    assert not {"model/fourm_7/0", "text", "tokenizer/depth"} & changed


def test_a_metric_more_or_less_measures_anew_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before = _plan(tmp_path)
    assert before.stages["baselines"].params["metrics"]["depth"] == ["rmse", "abs_rel", "delta1"]
    # Embeddings are never predicted, so that no stage measures them.
    assert "t5_caption" not in before.stages["baselines"].params["metrics"]
    monkeypatch.setattr(Depth, "metrics", lambda self: collect(rmse=DepthRMSE()))
    assert _plan(tmp_path)[1].stages["baselines"].params["metrics"]["depth"] == ["rmse"]
    _, after = _plan(tmp_path)
    changed = {stage.kind for name, stage in after.stages.items() if after.signatures[name] != before.signatures[name]}
    assert changed == {"baselines", "evaluation", "report"}


def test_the_code_of_a_modality_from_elsewhere_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "brightness_kit_1.py"
    source = "from modalities.kinds.sequences import FreeTextModality\nclass Mood(FreeTextModality):\n    pass\n"
    file.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    mood = importlib.import_module("brightness_kit_1").Mood
    before = plugin_file_hashes(mood)
    assert len(before) == 1
    file.write_text(file.read_text() + "    title = 'Mood'\n")
    assert plugin_file_hashes(mood) != before
    assert plugin_file_hashes(FreeTextModality) == []


def test_an_edited_view_of_a_plug_in_makes_the_results_of_its_modality_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "squint", SALIENCY, "saliency = squint:MODALITY", views=("saliency = squint:view",))
    arms = "arms={mine: [rgb, saliency], other: [rgb]}"
    _, before = _plan(tmp_path, arms)
    file = tmp_path / "squint.py"
    file.write_text(file.read_text().replace("> 0", "> 1"))
    _, after = _plan(tmp_path, arms)
    changed = {name for name, sign in after.signatures.items() if before.signatures[name] != sign}
    assert {"data/train", "tokenizer/saliency", "model/mine/0"} <= changed
    assert not {"tokenizer/rgb", "model/other/0"} & changed


def test_a_stage_whose_record_is_damaged_is_not_done(tmp_path: Path) -> None:
    _, plan = _plan(tmp_path)
    folder = plan.folder("text")
    folder.mkdir(parents=True)
    (folder / DONE_FILE).write_text("{}")
    assert plan.is_done("text")
    for content in ("", '{"stage": "te', "\x00", "[]"):
        (folder / DONE_FILE).write_text(content)
        assert not plan.is_done("text")
    plan.remove_incomplete()
    assert not folder.exists()
