"""The work items of one running stage: which ones wait, run, have failed; each failed one is done once more."""

import time
from collections import Counter, deque
from dataclasses import replace

from experiments.engine.observer import StageProgress
from experiments.stage_kinds import STAGE_KINDS
from experiments.stages.base import ShardedStageKind
from experiments.stages.context import StageContext, user_log

MAX_TRIES = 2
"""Times that an item is tried."""


class ItemQueue:
    """Tasks of one stage: its items in any order, and behind them the stage itself."""

    def __init__(self, task: StageContext) -> None:
        """Take the task of the stage."""
        self._task = task
        self._total = task.stage.num_items
        self._waiting = deque(range(self._total))
        self._running: dict[int, float] = {}
        self._tries: Counter[int] = Counter()
        self._failed: dict[int, str] = {}
        self._num_done = 0
        self._is_closed = False

    @property
    def has_next(self) -> bool:
        """True if there is a task to start."""
        return bool(self._waiting) or (not self._running and not self._is_closed)

    @property
    def cost_left(self) -> float:
        """Expected seconds of the items that wait."""
        return self._task.stage.cost * len(self._waiting) / max(1, self._total)

    def next_task(self) -> StageContext:
        """The next item, or the stage itself when all items are done."""
        if not self._waiting:
            self._is_closed = True
            return replace(self._task, failed_items=dict(self._failed))
        item = self._waiting.popleft()
        self._running[item] = 0.0
        self._tries[item] += 1
        return replace(self._task, item=item)

    def report(self, item: int, fraction: float, progress: StageProgress) -> None:
        """Note how much of an item is done."""
        self._running[item] = fraction
        self._update(progress)

    def finish(self, item: int, progress: StageProgress) -> None:
        """Note that an item is done."""
        del self._running[item]
        self._num_done += 1
        self._update(progress)

    def fail(self, item: int, reason: str) -> bool:
        """Note that an item has failed; True if it is done again, or if the stage continues without it."""
        del self._running[item]
        stage = self._task.stage
        if self._tries[item] < MAX_TRIES:
            user_log.warning("%s: shard %d failed and is done once more: %s", stage.name, item, reason)
            self._waiting.append(item)
            return True
        kind = STAGE_KINDS[stage.kind]
        if isinstance(kind, ShardedStageKind) and kind.may_omit_items(self._task.config):
            user_log.warning("%s: shard %d failed again and is left out: %s", stage.name, item, reason)
            self._failed[item] = reason
            return True
        return False

    def _update(self, progress: StageProgress) -> None:
        done = self._num_done + sum(self._running.values())
        progress.fraction = done / self._total
        progress.rate = done / max(time.time() - progress.started_at, 1e-9)
        progress.unit = "shards"
