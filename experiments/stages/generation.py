"""Stage kind ``generation``: contact sheets of what one arm's model generates."""

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from experiments.cli.models.generation_request import request_to_argv
from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext
from experiments.stages.inputs import inference_device, open_raw_split
from experiments.stages.plan import Stage
from lightning_modules.checkpoints.model import load_model
from lightning_modules.inference.gallery.gallery import GalleryItem, make_gallery, read_gallery, write_gallery
from lightning_modules.inference.gallery.presets import GalleryData
from modalities.storage.atomic import atomic_write_text

GALLERY_FOLDER, INPUTS_FOLDER = "generated", "given"
"""Folder of all sheets in the report's result, and folder of their input files beside each arm's sheets."""


class GenerationStage(StageKind):
    """Makes the sheets of one arm with the model of its first seed."""

    kind = "generation"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one stage for each arm, unless `evaluation.num_generated` is 0."""
        config, seed = context.config, context.config.seeds[0]
        for arm in config.arms if config.evaluation.num_generated else ():
            yield self.stage(
                f"generation/{arm}",
                {"num": config.evaluation.num_generated},
                inputs=(f"model/{arm}/{seed}", *context.names("data/validation")),
                read_modalities=tuple(config.arm_modalities(arm)),
                run_args={"arm": arm, "seed": seed},
                cost=5.0,
            )

    def run(self, context: StageContext) -> None:
        """Make the sheets and write them."""
        config, arm, seed = context.config, context.stage.run_args["arm"], context.stage.run_args["seed"]
        loaded = load_model(context.inputs[f"model/{arm}/{seed}"])
        values = open_raw_split(context, "validation", list(loaded.modalities))
        inputs_folder = context.folder / INPUTS_FOLDER
        inputs_folder.mkdir()
        gallery_data = GalleryData(
            codec=loaded.codec(context.registry),
            values=values,
            num_samples=values.num_samples,
            folder=inputs_folder,
            num=config.evaluation.num_generated,
        )
        model = loaded.model.to(inference_device(config))
        write_gallery(
            context.folder,
            make_gallery(
                model, gallery_data, request_to_argv, lambda share: context.report_progress(share, 0.0, "sheets")
            ),
        )

    def pictures(self, folder: Path) -> Sequence[Path]:
        """Every sheet."""
        return sorted(folder.glob("*.png"))


def load_galleries(context: StageContext) -> dict[str, list[GalleryItem]]:
    """Read each arm's sheets, with the commands that make them again from the ablation's folder."""
    run_folder = Path(context.config.root) / context.config.name
    galleries: dict[str, list[GalleryItem]] = {}
    for arm, folder in _gallery_folders(context).items():
        seed = str(context.config.seeds[0])
        model = ("fourm", "generate", "--model", str(run_folder), "--arm", arm, "--model-seed", seed)
        items = [item.with_folder(str(run_folder / GALLERY_FOLDER / arm)) for item in read_gallery(folder)]
        galleries[arm] = [item.with_prefix(model) for item in items]
    return galleries


def write_galleries(context: StageContext, target: Path, galleries: Mapping[str, Sequence[GalleryItem]]) -> None:
    """Copy every arm's sheets and their inputs below ``target``, each arm with a page that explains them."""
    for arm, folder in _gallery_folders(context).items():
        copy = target / GALLERY_FOLDER / arm
        shutil.copytree(folder / INPUTS_FOLDER, copy / INPUTS_FOLDER)
        for item in galleries[arm]:
            shutil.copy(folder / f"{item.name}.png", copy)
        atomic_write_text(copy / "README.md", _gallery_readme(arm, galleries[arm]))


def _gallery_folders(context: StageContext) -> dict[str, Path]:
    """Folders of the generation stages among a stage's inputs, by arm."""
    names = {arm: f"generation/{arm}" for arm in context.config.arms}
    return {arm: context.inputs[name] for arm, name in names.items() if name in context.inputs}


def _gallery_readme(arm: str, exhibits: Sequence[GalleryItem]) -> str:
    """A page of one arm's sheets with their descriptions and commands."""
    sections = [f"# What {arm} generates\n"]
    for item in exhibits:
        commands = "\n".join(map(shlex.join, item.commands))
        sections.append(
            f"## {item.sheet.title}\n\n![{item.sheet.title}]({item.name}.png)\n\n{item.sentence}\n\n"
            f"Settings: {item.settings}.\n\n```\n{commands}\n```\n"
        )
    return "\n".join(sections)
