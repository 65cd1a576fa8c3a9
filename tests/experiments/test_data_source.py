"""The settings of a data source: how much is read, what a command line names, and what is refused before a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.data_source import check_source, open_data_source, parse_data, split_sizes
from experiments.evaluation_data import EvaluationData, _has_other_classes, evaluation_sizes
from experiments.schema.experiment import ExperimentConfig
from experiments.schema.load import build_modalities, load_config
from experiments.schema.sections import DataConfig
from modalities.errors import ConfigError, DataError, UnknownNameError, UserError
from modalities.registry import default_registry
from modalities.sources.config import SourceConfig
from modalities.sources.crops import CropConfig
from modalities.sources.folder.source import FolderSource
from modalities.variants import class_names_of, with_classes
from networks.tokenizers.text import TextTokenizer
from tests.modalities.sources.photographs import make_photographs

REGISTRY = default_registry()
MODALITIES = {name: REGISTRY[name] for name in ("rgb", "depth", "caption")}


def _photographs(path: Path, **changes: Any) -> DataConfig:
    make_photographs(path, 20)
    options = {"splits": {"train": 0.5, "validation": 0.5}}
    source = SourceConfig(kind="folder", path=str(path), options=options)
    return DataConfig(source=source, **{"train": None, "validation": None, **changes})


def test_null_takes_every_sample_and_every_crop(tmp_path: Path) -> None:
    config = _photographs(tmp_path)
    sizes = split_sizes(config, open_data_source(config, MODALITIES))
    assert sum(sizes.values()) == 20
    crops = replace(config, crops=CropConfig(count=3))
    assert split_sizes(crops, open_data_source(crops, MODALITIES)) == {**sizes, "train": 3 * sizes["train"]}


def test_more_samples_than_there_are_is_an_error_that_says_how_many(tmp_path: Path) -> None:
    config = replace(_photographs(tmp_path), train=100)
    source = open_data_source(config, MODALITIES)
    number = len(source.keys("train"))
    message = rf"has {number} samples in split 'train', but data\.train is 100: set data\.train to at most {number}"
    with pytest.raises(DataError, match=message):
        split_sizes(config, source)


def test_scenes_need_a_number() -> None:
    config = DataConfig(train=None)
    with pytest.raises(ConfigError, match=r"scenes has samples without end: data\.train must be a number"):
        split_sizes(config, open_data_source(config, MODALITIES))
    assert load_config(None, ["data.validation=null"]).data.validation is None
    with pytest.raises(ConfigError, match=r"data\.train must be at least 1, got 0"):
        DataConfig(train=0)


def test_a_modality_that_no_training_sample_has_is_refused_and_one_that_no_held_out_one_has_is_said(
    tmp_path: Path,
) -> None:
    config = _photographs(tmp_path)
    source = open_data_source(config, MODALITIES)
    held_out = set(source.keys("validation"))
    for path in (tmp_path / "depth").iterdir():
        if path.stem in held_out:
            path.unlink()
    (line,) = check_source(open_data_source(config, MODALITIES), MODALITIES)
    assert line.endswith("has depth: it is trained on, but not measured.")
    for path in (tmp_path / "depth").iterdir():
        path.unlink()
    np.save(tmp_path / "depth" / f"{sorted(held_out)[0]}.npy", np.ones((40, 48), np.float32))
    with pytest.raises(DataError, match=r"No training sample of folder:.* has depth: leave it out of the arms"):
        check_source(open_data_source(config, MODALITIES), MODALITIES)


def test_classes_come_from_a_file_and_enter_the_text_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("zebra crossing\nquay\n")
    data = [f"data.source.path={tmp_path}", "data.source.kind=folder", "data.classes={semseg: classes.txt}"]
    config = load_config(
        None, ["arms={mine: [semseg, semseg_64]}", "resolutions={semseg_64: {base: semseg, size: 64}}", *data]
    )
    modalities = build_modalities(config, REGISTRY)
    assert {class_names_of(item) for item in modalities.values()} == {("zebra crossing", "quay")}
    names = FolderSource(config.data.source, modalities).class_names
    assert names == ("quay", "zebra crossing")
    assert TextTokenizer.train([], names).encode("quay") != TextTokenizer.train([], ()).encode("quay")
    with pytest.raises(UserError, match="Values of rgb have no classes"):
        build_modalities(
            load_config(None, ["arms={mine: [rgb]}", *data[:2], "data.classes={rgb: classes.txt}"]), REGISTRY
        )


def test_data_are_named_on_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    folder = SourceConfig(kind="folder", path="photos")
    assert parse_data("folder:photos") == (DataConfig(source=folder, train=None, validation=None), [])
    data, lines = parse_data("photos")
    assert data.source == folder
    assert lines == ["photos is read as a folder; write KIND:photos for another kind of source."]
    assert parse_data("memory://photos")[0].source == SourceConfig(kind="folder", path="memory://photos")
    assert parse_data("scenes")[0].source == SourceConfig()
    Path("mine.yaml").write_text("data: {source: {kind: folder, path: photos}, train: 3, crops: {count: 2}}")
    assert parse_data("mine.yaml") == (DataConfig(source=folder, train=3, crops=CropConfig(count=2)), [])
    with pytest.raises(ConfigError, match="'nowhere' is no data: there is no such folder"):
        parse_data("nowhere")


def test_what_is_measured_is_said_where_the_data_have_less(tmp_path: Path) -> None:
    config = _photographs(tmp_path, validation=1000)
    source = open_data_source(config, MODALITIES)
    data = EvaluationData(source=source, config=config, measurable=MODALITIES, readable=MODALITIES, notes=())
    counts = {split: len(source.keys(split)) for split in source.splits}
    assert evaluation_sizes(data, 4, "validation") == ({"train": 4, "validation": counts["validation"]}, [])
    chosen = replace(data, config=replace(config, validation=50))
    assert evaluation_sizes(chosen, 4, "validation")[1] == [
        f"data.validation is 50, but {source.name} has {counts['validation']} samples in split 'validation': "
        "all are measured."
    ]
    sizes, lines = evaluation_sizes(data, 4, "all")
    assert sizes == {"all": 20}
    assert lines == ["Chance levels are those of the measured samples: all splits are measured."]
    with pytest.raises(UnknownNameError, match=r"No split of folder:.* named 'test'"):
        evaluation_sizes(data, 4, "test")


def test_a_class_map_is_measured_where_the_data_have_its_classes(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("road\nwater\n")
    installed = REGISTRY["semseg"]
    own = with_classes(installed, ("road", "water"))
    folder = SourceConfig(kind="folder", path=str(tmp_path))
    stated = DataConfig(source=folder, classes={"semseg": "own.txt"})
    # A folder that does not state its classes is taken to have the map's.
    for modality, data, differs in (
        (installed, DataConfig(), False),
        (own, DataConfig(), True),
        (own, stated, False),
        (installed, stated, True),
        (own, DataConfig(source=folder), False),
        (REGISTRY["rgb"], stated, False),
    ):
        assert _has_other_classes(modality, REGISTRY, data) is differs


def test_the_seed_of_crops_chooses_among_captions_of_the_one_crop(tmp_path: Path) -> None:
    config = _photographs(tmp_path)
    drawn = set()
    for seed in range(8):
        source = open_data_source(replace(config, crops=CropConfig(seed=seed)), MODALITIES)
        drawn.add(source.read("0003", MODALITIES["caption"]))
    assert drawn == set((tmp_path / "caption" / "0003.txt").read_text().splitlines())


def test_the_default_experiment_reads_scenes() -> None:
    assert ExperimentConfig().data.source == SourceConfig()


@pytest.mark.parametrize("kind", ["webdataset", "huggingface", "coco", "folder"])
def test_a_kind_before_a_url_is_that_kind(kind: str) -> None:
    config, lines = parse_data(f"{kind}:s3://bucket/tars")
    assert (config.source, lines) == (SourceConfig(kind=kind, path="s3://bucket/tars"), [])
