"""Stage kind ``data``: one shard of raw values of all modalities."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from experiments.stages.base import PlanContext, StageKind
from experiments.stages.context import StageContext, move_contents_up
from experiments.stages.plan import ModalityPart, Stage
from lightning_modules.data.raw import render_shard
from modalities.storage.serialization import to_plain


class DataStage(StageKind):
    """Renders one shard of scenes."""

    kind = "data"

    def plan(self, context: PlanContext) -> Iterator[Stage]:
        """Plan one stage a shard; every modality is a part of its own."""
        config = context.config.data
        parts = {
            name: ModalityPart(params=[type(item).__qualname__, to_plain(item), *plugin_file_hashes(type(item))])
            for name, item in context.modalities.items()
        }
        for split, count in (("train", config.train), ("validation", config.validation)):
            for shard, first in enumerate(range(0, count, config.shard)):
                end = min(first + config.shard, count)
                yield self.stage(
                    f"data/{split}/{shard:04d}",
                    {"split": split, "numbers": [first, end]},
                    parts=parts,
                    run_args={"split": split, "first": first, "end": end},
                    cost=(end - first) * 0.02,
                )

    def run(self, context: StageContext) -> None:
        """Render the shard."""
        run_args = context.stage.run_args
        render_shard(
            context.folder / "raw",
            context.modalities,
            run_args["split"],
            range(run_args["first"], run_args["end"]),
            lambda done: context.report_progress(done, 0.0, "scenes"),
        )
        move_contents_up(context, "raw")


def plugin_file_hashes(modality: type) -> list[str]:
    """Hash each file that a plug-in's modality is written in, so that an edited one makes new results.

    Changes of this package's own modalities are told apart by the versions of the stage kinds.
    """
    modules = {kind.__module__ for kind in modality.__mro__} - {"builtins"}
    own = {name for name in modules if name.partition(".")[0] not in ("modalities", *sys.stdlib_module_names)}
    files = [getattr(sys.modules.get(name), "__file__", None) for name in sorted(own)]
    return [hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] for file in files if file and Path(file).is_file()]
