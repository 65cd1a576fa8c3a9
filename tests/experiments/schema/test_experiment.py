"""Configs: what is merged, what is refused, and in which words."""

from pathlib import Path

import pytest

from experiments.schema.describe import describe_settings
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import CONFIG_FOLDER, build_modalities, check_names, find_config, load_config
from experiments.schema.resolutions import ResolutionConfig
from modalities.errors import ConfigError, UnknownNameError
from modalities.presets import FOURM_7, FOURM_21
from modalities.registry import PluginProvider, default_registry
from networks.fourm.config import Size


def test_overrides_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("seeds: [3, 4]\nmodel: {size: tiny}\noptim: {lr: 1.0e-3}\n")
    config = load_config(path, ["optim.lr=2e-3", "data.train=10"])
    assert config.seeds == [3, 4]
    assert config.model.size is Size.tiny
    assert config.optim.lr == 2e-3
    assert config.data.train == 10
    assert config.masking == ExperimentConfig().masking


def test_arms_are_replaced_and_presets_spelled_out() -> None:
    config = load_config(None, ["arms.mine=[fourm_7,canny_edges,rgb]"])
    assert list(config.arms) == ["mine"]
    assert config.arm_modalities("mine") == (*FOURM_7, "canny_edges")
    assert ExperimentConfig().all_modalities == (*FOURM_7, *[name for name in FOURM_21 if name not in FOURM_7])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.widht=3", "no setting is called 'model.widht'. Did you mean 'model.width'"),
        ("sed=1", "no setting is called 'sed'"),
        ("model.width=wide", "could not be converted to Integer"),
        ("model.size=huge", "expected one of \\[nano, tiny, small, B, L, XL\\]"),
        ("optim.lr=-1", "optim.lr must be positive, got -1"),
        ("data.train=0", "data.train must be at least 1, got 0"),
        ("training.batch_size=0", "training.batch_size must be at least 1, got 0"),
        ("training.val_every=0", "training.val_every must be at least 1, got 0"),
        ("training.log_every=0", "training.log_every must be at least 1, got 0"),
        ("executor.devices=0", "executor.devices must be at least 1, got 0"),
        ("tokenizer_training.steps.depth=0", "tokenizer_training.steps.depth must be at least 1, got 0"),
        ("training.precision=float7", "training.precision must be one of 16-mixed, .*, got 'float7'"),
        ("arms.a=[]", "arms.a has no modality: name some, or a preset"),
        ("seeds=[-1]", "seeds must be at least 0"),
        ("scale.size=0", "scale.size must be a multiple of scale.patch, got 0 and 16"),
        ("scale.max_vocab=0", "scale.max_vocab must be at least 1, or null for no limit, got 0"),
        ("model.encoder_depth=-1", "depths not negative, got"),
        ("optim.total_tokens=0", "optim.total_tokens must be positive, got 0"),
        ("training.checkpoint_minutes=-1", "training.checkpoint_minutes must be at least 0, got -1"),
        ("seeds=[1,1]", "seeds must differ"),
        ("executor.strategy=fsdp", "executor.strategy must be one of auto, ddp, got 'fsdp'"),
        ("executor.accelerator=cpus", "executor.accelerator must be one of auto, cpu, .*, got 'cpus'"),
        ("nonsense", "not of the form key=value; quote a value that has spaces"),
        ("arms={with:[rgb]}", r"Override 'arms=.*' is not YAML .* colon .* a space: 'arms=\{with: \[rgb\]\}'\."),
        ("arms={with: [rgb}", "is not YAML behind its '='. Brackets and quotes come in pairs"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_wrong(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Known: fourm_21, fourm_7, lab, photos, quickstart"):
        find_config("quickstrat")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml is not YAML"):
        load_config(broken)


@pytest.mark.parametrize(
    "override",
    [
        "evaluation.routes.rgb=[dpeth]",
        "evaluation.routes.dpeth=[rgb]",
        "evaluation.chains=[[rgb,dpeth,normals]]",
        "evaluation.probes.rgb=dpeth",
        "evaluation.argmax=[dpeth]",
        "training.pictures_of=[dpeth]",
        "tokenizer_training.steps.dpeth=3",
        "masking.mixtures=[{target_overrides: {dpeth: 1.0}}]",
    ],
)
def test_a_setting_that_names_what_does_not_exist_is_a_mistake(override: str) -> None:
    config = load_config(None, [override])
    with pytest.raises(UnknownNameError, match=r"named 'dpeth'\. Did you mean 'depth'\?"):
        check_names(config, default_registry())


@pytest.mark.parametrize("name", ["quickstart", "lab", "fourm_7", "fourm_21", "superres"])
def test_shipped_settings_name_what_exists(name: str) -> None:
    check_names(load_config(find_config(name)), default_registry())


def test_a_modality_whose_name_means_something_else_is_refused() -> None:
    registry = default_registry()
    for name in ("fourm_7", "rgb_pixels"):
        registry.add(PluginProvider(name=name, origin="a_kit", load=lambda: None))
    with pytest.raises(ConfigError, match=r"arms.a: 'fourm_7' is a preset and a modality of a_kit; rename"):
        check_names(load_config(None, ["arms.a=[fourm_7]"]), registry)
    with pytest.raises(ConfigError, match=r"'rgb_pixels' is no name for a modality: .* pixel stream of 'rgb'"):
        check_names(load_config(None, ["arms.a=[rgb,rgb_pixels]"]), registry)
    config = ExperimentConfig(arms={"a": ["fourm_21"]}, resolutions={"fourm_21": ResolutionConfig()})
    with pytest.raises(ConfigError, match=r"'fourm_21' is a preset and a modality of resolutions\.fourm_21"):
        check_names(config, default_registry())


def test_an_unknown_modality_is_named_with_the_nearest() -> None:
    config = load_config(None, ["arms.a=[dpeth]"])
    with pytest.raises(UnknownNameError, match=r"No modality named 'dpeth'\. Did you mean 'depth'"):
        build_modalities(config, default_registry())


def test_every_setting_but_a_few_explains_itself() -> None:
    rows = describe_settings()
    assert len({key for key, _, _ in rows}) == len(rows) > 100
    assert ("tokenizer.encoder", "vit", "One of vit, patch_mlp.") in rows
    silent = [key for key, _, meaning in rows if not meaning]
    assert len(silent) < len(rows) / 5, silent


def test_shipped_configs_say_how_they_are_run() -> None:
    for path in CONFIG_FOLDER.glob("*.yaml"):
        assert path.read_text().startswith("# fourm ")
        load_config(path)
