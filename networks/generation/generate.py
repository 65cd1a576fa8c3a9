"""Any inputs, whole or in part, to a chain of targets, each finished one an input of the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from networks.fourm import FourM
from networks.generation.branches import Branches, branches_of, encode_branches
from networks.generation.canvas import FIRST_SENTINEL, Part, empty_part, part_of_rows
from networks.generation.dice import Dice
from networks.generation.inputs import Inputs, lay
from networks.generation.plan import Decoding, GenerationError, Plan
from networks.generation.unmask import unmask
from networks.generation.write import Written, endings, write
from networks.spans import is_sentinel, merge_spans
from networks.streams import Stream, StreamKind


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What is known of every stream after a step: inputs, finished targets, and the one at work."""

    target: str
    """The target at work."""
    step: int
    """Steps of it that are done; for sequences, tokens written."""
    is_finished: bool
    """True where the target is whole."""
    parts: Mapping[str, Part]
    """The target at work is a grid known in part, or a sequence as it was before."""
    written: Written | None = None
    """What has been written of a sequence that is not finished."""


def generate(
    model: FourM,
    inputs: Inputs,
    targets: Sequence[str],
    plan: Plan,
    generator: torch.Generator,
    *,
    num_samples: int = 1,
    numbers: Sequence[int] | None = None,
) -> Mapping[str, Part]:
    """Inputs and targets, all known: ids of grids, and of sequences without sentinels, the end token included.

    Args:
        inputs: By stream; of a target, what is known of it.
        targets: Streams in the order in which they are generated.
        num_samples: How many, where there are no inputs.
        numbers: The number of each sample among the generator's streams of randomness, 0, 1, ... if not given: a
            sample of the same number and inputs gets the same tokens in whatever batch.

    Raises:
        UnknownNameError: There is no stream of a name.
        GenerationError: Inputs, targets or plan do not fit the model or each other.
    """
    last: Mapping[str, Part] = {}
    for state in generate_iter(model, inputs, targets, plan, generator, num_samples=num_samples, numbers=numbers):
        last = state.parts
    return last


@torch.no_grad()
def generate_iter(
    model: FourM,
    inputs: Inputs,
    targets: Sequence[str],
    plan: Plan,
    generator: torch.Generator,
    *,
    num_samples: int = 1,
    numbers: Sequence[int] | None = None,
) -> Iterator[Generated]:
    """`generate`, and every state on the way; the model's weights must stay as they are until the last."""
    model = model.frozen()
    device = model.mask_token.device
    canvas = lay(model, inputs, targets)
    given, finished = list(canvas), list[str]()
    b = len(next(iter(canvas.values())).ids) if canvas else num_samples
    chosen = list(range(b)) if numbers is None else list(numbers)
    if len(chosen) != b:
        raise GenerationError(f"There are {b} samples but {len(chosen)} numbers for them.")
    _check_plan(model, targets, plan, given)
    dice = Dice.cast(generator, chosen, device)
    for target in targets:
        decoding = plan.of(target)
        turn = _Turn(
            model=model,
            canvas=canvas,
            target=target,
            decoding=decoding,
            branches=branches_of(decoding, target, given, finished, plan),
            dice=dice,
            prompted=plan.prompted,
            b=b,
        )
        for state in _grid(turn) if turn.stream.kind is StreamKind.grid else _sequence(turn):
            if state.is_finished:
                canvas[target] = state.parts[target]
            yield state
        finished.append(target)


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """One target's turn: what is known before it, and how it is generated."""

    model: FourM
    canvas: Mapping[str, Part]
    target: str
    decoding: Decoding
    branches: Branches
    dice: Dice
    prompted: bool
    b: int

    @property
    def stream(self) -> Stream:
        """The target's stream."""
        return self.model.streams[self.model.index[self.target]]

    @property
    def device(self) -> torch.device:
        """Where all of it lies."""
        return self.model.mask_token.device

    def state(self, part: Part, step: int, written: Written | None = None, *, is_finished: bool = False) -> Generated:
        """The state in which the target is ``part``."""
        parts = {**self.canvas, self.target: part}
        return Generated(target=self.target, step=step, is_finished=is_finished, parts=parts, written=written)


def _grid(turn: _Turn) -> Iterator[Generated]:
    """One grid, state by state."""
    before = turn.canvas.get(turn.target) or empty_part(turn.stream, turn.b, turn.device)
    canvas = {**turn.canvas, turn.target: before}
    step, part = 0, before
    for part in unmask(
        turn.model, canvas, turn.target, turn.decoding, turn.branches, turn.dice, prompted=turn.prompted
    ):
        step += 1
        yield turn.state(part, step)
    yield turn.state(part, step, is_finished=True)


def _sequence(turn: _Turn) -> Iterator[Generated]:
    """One sequence, state by state; at the end what was written goes where the gaps were."""
    model, canvas, target, device = turn.model, turn.canvas, turn.target, turn.device
    # Nothing known of a sample is one gap.
    visible = [row or [FIRST_SENTINEL] for row in (canvas[target].rows() if target in canvas else [[]] * turn.b)]
    gaps = [sum(map(is_sentinel, row)) for row in visible]
    known = [len(row) - number for row, number in zip(visible, gaps, strict=True)]
    limit = turn.stream.num_tokens
    contexts = encode_branches(model, canvas, target, turn.branches, turn.b, device, prompted=turn.prompted)
    written: Written | None = None
    before = canvas.get(target) or part_of_rows(visible, device)
    assignment, weights = endings(gaps, known, limit, device), turn.branches.weights
    for written in write(model, contexts, target, assignment, turn.decoding, turn.dice, weights):
        yield turn.state(before, written.place, written)
    rows = written.rows() if written is not None else [[]] * turn.b
    whole = [
        merge_spans(row, [FIRST_SENTINEL, *_first_words(new, limit - there)])
        for row, new, there in zip(visible, rows, known, strict=True)
    ]
    place = written.place if written is not None else 0
    yield turn.state(part_of_rows(whole, device), place, is_finished=True)


def _first_words(written: list[int], room: int) -> list[int]:
    """What was written with no more than ``room`` tokens between its sentinels, so that what is known is never cut."""
    kept: list[int] = []
    for token in written:
        if is_sentinel(token) or room > 0:
            kept.append(token)
            room -= not is_sentinel(token)
    return kept


def _check_plan(model: FourM, targets: Sequence[str], plan: Plan, given: Sequence[str]) -> None:
    """Refuse a plan before its first step rather than at its last.

    Raises:
        GenerationError: A target has more steps than tokens, or names a condition that is not there in time.
    """
    finished: list[str] = []
    for target in targets:
        stream, decoding = model.streams[model.index[target]], plan.of(target)
        if stream.kind is StreamKind.grid and decoding.steps > stream.num_tokens:
            raise GenerationError(
                f"{target} has {stream.num_tokens} tokens and cannot be generated in {decoding.steps} steps: "
                f"ask for at most {stream.num_tokens}."
            )
        branches_of(decoding, target, given, finished, plan)
        finished.append(target)
