"""One process of a stage that trains on several devices: ``python -m experiments.rank ORDER.json``.

Lightning starts the other processes of its machine by the same command; torchrun and srun start all of them. The first
process makes the stage's folder and tells on its standard output, one JSON list a line, how far it is and how it ended.
"""

import json
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from experiments.config import modalities_of
from experiments.execution import execute, failure, follow
from experiments.order import NEWS, Forward, read_order
from modalities.registry import default_registry


def main(order_file: Path) -> int:
    """Run this process's part of the order; answers with the exit status."""
    order = read_order(order_file)
    is_first = getattr(rank_zero_only, "rank", 0) == 0
    if is_first:
        NEWS.addHandler(Forward(lambda text: _tell("news", text)))
    try:
        modalities = modalities_of(order.config, default_registry())
        if is_first:
            execute(order, lambda *progress: _tell("progress", progress), modalities)
        else:
            follow(order, modalities)
    except Exception as error:
        if is_first:
            _tell(*failure(order, error))
        return 1
    if is_first:
        _tell("done", "")
    return 0


def _tell(kind: str, content: Any) -> None:
    sys.stdout.write(json.dumps([kind, content]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
