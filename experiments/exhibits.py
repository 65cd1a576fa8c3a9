"""The generation sheets of an ablation: the stage that makes an arm's, and where people find them."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from evaluation.files import write_text
from evaluation.generation.exhibits import Exhibit, make_exhibits, read_exhibits, write_exhibits
from evaluation.generation.recipes import Material
from evaluation.held_out import Codecs
from experiments.config import ExperimentConfig
from experiments.context import Job, raw_split
from experiments.stages import Plan
from lightning_modules.checkpoint import load_model
from modalities.errors import DataError

GENERATED, GIVEN = "generated", "given"
"""Folder of the sheets in an ablation's, and of the files of their inputs beside each arm's sheets."""


def run_generation(job: Job) -> None:
    """Make one arm's sheets, by the model of its first seed."""
    config, arm, seed = job.config, job.stage.details["arm"], job.stage.details["seed"]
    loaded = load_model(job.inputs[f"model/{arm}/{seed}"])
    values = raw_split(job, "validation", list(loaded.modalities))
    given = job.folder / GIVEN
    given.mkdir()
    material = Material(
        codecs=Codecs(
            modalities={name: job.modalities[name] for name in loaded.modalities},
            streams=loaded.streams,
            learnt={name: item.tokenizer for name, item in loaded.tokenizers.items()},
            text=loaded.text,
        ),
        values=values,
        num_samples=values.num_samples,
        folder=given,
        num=config.evaluation.num_generated,
    )
    model = loaded.model.to("cuda" if torch.cuda.is_available() and config.executor.accelerator != "cpu" else "cpu")
    write_exhibits(job.folder, make_exhibits(model, material, lambda share: job.report(share, 0.0, "sheets")))


def exhibits_of(config: ExperimentConfig, plan: Plan) -> dict[str, list[Exhibit]]:
    """Each arm's sheets, with the commands that make them again."""
    run = Path(config.root) / config.name
    found: dict[str, list[Exhibit]] = {}
    for stage in plan.of("generation"):
        arm, seed = stage.details["arm"], stage.details["seed"]
        model = ("fourm", "generate", "--model", str(run), "--arm", arm, "--model-seed", str(seed))
        exhibits = [item.at(str(run / GENERATED / arm)) for item in read_exhibits(plan.folder(stage.name))]
        found[arm] = [item.behind(model) for item in exhibits]
    return found


def lay_out(plan: Plan, folder: Path, exhibits: Mapping[str, Sequence[Exhibit]]) -> None:
    """Put every arm's sheets into an ablation's folder, in place of those that an earlier run has left.

    Raises:
        DataError: They cannot be written.
    """
    place = folder / GENERATED
    try:
        shutil.rmtree(place, ignore_errors=True)
        for stage in plan.of("generation"):
            arm = stage.details["arm"]
            shutil.copytree(plan.folder(stage.name) / GIVEN, place / arm / GIVEN)
            for item in exhibits[arm]:
                shutil.copy(plan.folder(stage.name) / f"{item.name}.png", place / arm)
            write_text(place / arm / "README.md", _page(arm, exhibits[arm]))
    except OSError as error:
        raise DataError(f"{place} cannot be written: {error.strerror or error}.") from error


def _page(arm: str, exhibits: Sequence[Exhibit]) -> str:
    """The sheets with all that is told of them, for whoever looks into the folder."""
    parts = [f"# What {arm} generates\n"]
    for item in exhibits:
        commands = "\n".join(map(shlex.join, item.commands))
        parts.append(
            f"## {item.sheet.title}\n\n![{item.sheet.title}]({item.name}.png)\n\n{item.sentence}\n\n"
            f"Settings: {item.settings}.\n\n```\n{commands}\n```\n"
        )
    return "\n".join(parts)
