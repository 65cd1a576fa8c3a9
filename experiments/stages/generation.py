"""The generation sheets of an ablation: the stage that makes an arm's, and where people find them."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from experiments.schema.experiment import ExperimentConfig
from experiments.stages.context import StageContext, open_raw_split
from experiments.stages.plan import StagePlan
from lightning_modules.checkpoints.model import load_model
from lightning_modules.inference.gallery.gallery import GalleryItem, make_gallery, read_gallery, write_gallery
from lightning_modules.inference.gallery.presets import GalleryData
from modalities.errors import DataError
from modalities.storage.atomic import atomic_write_text
from networks.tokenizers.codec import Codec

GALLERY_FOLDER, INPUTS_FOLDER = "generated", "given"
"""Folder of the sheets in an ablation's, and of the files of their inputs beside each arm's sheets."""


def run_generation(context: StageContext) -> None:
    """Make one arm's sheets, by the model of its first seed."""
    config, arm, seed = context.config, context.stage.run_args["arm"], context.stage.run_args["seed"]
    loaded = load_model(context.inputs[f"model/{arm}/{seed}"])
    values = open_raw_split(context, "validation", list(loaded.modalities))
    inputs_folder = context.folder / INPUTS_FOLDER
    inputs_folder.mkdir()
    gallery_data = GalleryData(
        codec=Codec(
            modalities={name: context.modalities[name] for name in loaded.modalities},
            tokenizers={name: item.tokenizer for name, item in loaded.tokenizers.items()},
            text_tokenizer=loaded.text_tokenizer,
        ),
        values=values,
        num_samples=values.num_samples,
        folder=inputs_folder,
        num=config.evaluation.num_generated,
    )
    model = loaded.model.to("cuda" if torch.cuda.is_available() and config.executor.accelerator != "cpu" else "cpu")
    write_gallery(
        context.folder, make_gallery(model, gallery_data, lambda share: context.report_progress(share, 0.0, "sheets"))
    )


def load_galleries(config: ExperimentConfig, plan: StagePlan) -> dict[str, list[GalleryItem]]:
    """Each arm's sheets, with the commands that make them again."""
    run_folder = Path(config.root) / config.name
    galleries: dict[str, list[GalleryItem]] = {}
    for stage in plan.stages_of_kind("generation"):
        arm, seed = stage.run_args["arm"], stage.run_args["seed"]
        model = ("fourm", "generate", "--model", str(run_folder), "--arm", arm, "--model-seed", str(seed))
        exhibits = [
            item.with_folder(str(run_folder / GALLERY_FOLDER / arm)) for item in read_gallery(plan.folder(stage.name))
        ]
        galleries[arm] = [item.with_prefix(model) for item in exhibits]
    return galleries


def write_galleries(plan: StagePlan, folder: Path, exhibits: Mapping[str, Sequence[GalleryItem]]) -> None:
    """Put every arm's sheets into an ablation's folder, in place of those that an earlier run has left.

    Raises:
        DataError: They cannot be written.
    """
    gallery_folder = folder / GALLERY_FOLDER
    try:
        shutil.rmtree(gallery_folder, ignore_errors=True)
        for stage in plan.stages_of_kind("generation"):
            arm = stage.run_args["arm"]
            shutil.copytree(plan.folder(stage.name) / INPUTS_FOLDER, gallery_folder / arm / INPUTS_FOLDER)
            for item in exhibits[arm]:
                shutil.copy(plan.folder(stage.name) / f"{item.name}.png", gallery_folder / arm)
            atomic_write_text(gallery_folder / arm / "README.md", _gallery_readme(arm, exhibits[arm]))
    except OSError as error:
        raise DataError(f"{gallery_folder} cannot be written: {error.strerror or error}.") from error


def _gallery_readme(arm: str, exhibits: Sequence[GalleryItem]) -> str:
    """The sheets with all that is told of them, for whoever looks into the folder."""
    sections = [f"# What {arm} generates\n"]
    for item in exhibits:
        commands = "\n".join(map(shlex.join, item.commands))
        sections.append(
            f"## {item.sheet.title}\n\n![{item.sheet.title}]({item.name}.png)\n\n{item.sentence}\n\n"
            f"Settings: {item.settings}.\n\n```\n{commands}\n```\n"
        )
    return "\n".join(sections)
