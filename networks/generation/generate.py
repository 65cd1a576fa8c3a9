"""Generation of a chain of targets from any inputs, whole or in part; each finished target is an input of the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from networks.fourm.model import FourM
from networks.generation.autoregressive import GeneratedTokens, generate_sequence_tokens, infilling_spec
from networks.generation.config import DecodingConfig, GenerationConfig, GenerationError
from networks.generation.counter_rng import CounterRng
from networks.generation.guidance import GuidanceBranches, encode_branches, guidance_branches
from networks.generation.inputs import ConditionInputs, prepare_inputs
from networks.generation.maskgit import generate_grid_tokens
from networks.generation.state import FIRST_SENTINEL, KnownTokens, empty_grid, known_sequences
from networks.masking.spans import is_sentinel, merge_spans
from networks.streams import GridStream, Stream


@dataclass(frozen=True, kw_only=True)
class GenerationStep:
    """Known tokens of all streams after a step: inputs, finished targets, and the current target."""

    target: str
    """The current target."""
    step: int
    """Finished steps of it; for sequences, generated tokens."""
    is_finished: bool
    """True if the target is complete."""
    parts: Mapping[str, KnownTokens]
    """The current target is a partly known grid, or a sequence as it was before generation."""
    written: GeneratedTokens | None = None
    """Generated tokens of an unfinished sequence."""


def generate(
    model: FourM,
    inputs: ConditionInputs,
    targets: Sequence[str],
    plan: GenerationConfig,
    generator: torch.Generator,
    *,
    num_samples: int = 1,
    sample_ids: Sequence[int] | None = None,
) -> Mapping[str, KnownTokens]:
    """Inputs and completed targets: ids of grids, and ids of sequences without sentinels, the end token included.

    Args:
        inputs: By stream; for a target, its known part.
        targets: Streams in the order of generation.
        num_samples: Batch size without inputs.
        sample_ids: Number of each sample's random stream, 0, 1, ... by default: equal number and inputs give equal
            tokens in any batch.

    Raises:
        UnknownNameError: There is no stream of a name.
        GenerationError: Inputs, targets and plan do not fit the model or each other.
    """
    last: Mapping[str, KnownTokens] = {}
    for state in generate_iter(model, inputs, targets, plan, generator, num_samples=num_samples, sample_ids=sample_ids):
        last = state.parts
    return last


@torch.no_grad()
def generate_iter(
    model: FourM,
    inputs: ConditionInputs,
    targets: Sequence[str],
    plan: GenerationConfig,
    generator: torch.Generator,
    *,
    num_samples: int = 1,
    sample_ids: Sequence[int] | None = None,
) -> Iterator[GenerationStep]:
    """`generate`, step by step; the model's weights must not change in between."""
    model = model.inference_copy()
    device = model.mask_token.device
    known_streams = prepare_inputs(model, inputs, targets)
    given, finished = list(known_streams), list[str]()
    b = len(next(iter(known_streams.values())).ids) if known_streams else num_samples
    sample_ids_list = list(range(b)) if sample_ids is None else list(sample_ids)
    if len(sample_ids_list) != b:
        raise GenerationError(f"There are {b} samples but {len(sample_ids_list)} numbers for them.")
    _check_config(model, targets, plan, given)
    rng = CounterRng.from_generator(generator, sample_ids_list, device)
    for target in targets:
        decoding = plan.for_stream(target)
        run = _TargetRun(
            model=model,
            known_streams=known_streams,
            target=target,
            decoding=decoding,
            branches=guidance_branches(decoding, target, given, finished, plan),
            rng=rng,
            prompt_with_sentinel=plan.prompt_with_sentinel,
            b=b,
        )
        for state in _generate_grid(run) if isinstance(run.stream, GridStream) else _generate_sequence(run):
            if state.is_finished:
                known_streams[target] = state.parts[target]
            yield state
        finished.append(target)


@dataclass(frozen=True, kw_only=True)
class _TargetRun:
    """The generation of one target: known tokens and settings."""

    model: FourM
    known_streams: Mapping[str, KnownTokens]
    target: str
    decoding: DecodingConfig
    branches: GuidanceBranches
    rng: CounterRng
    prompt_with_sentinel: bool
    b: int

    @property
    def stream(self) -> Stream:
        """The target's stream."""
        return self.model.streams[self.model.index[self.target]]

    @property
    def device(self) -> torch.device:
        """Device of the model and of all tokens."""
        return self.model.mask_token.device

    def state(
        self, part: KnownTokens, step: int, written: GeneratedTokens | None = None, *, is_finished: bool = False
    ) -> GenerationStep:
        """The step after which the target is ``part``."""
        parts = {**self.known_streams, self.target: part}
        return GenerationStep(target=self.target, step=step, is_finished=is_finished, parts=parts, written=written)


def _generate_grid(run: _TargetRun) -> Iterator[GenerationStep]:
    """Generate a grid, step by step."""
    before = run.known_streams.get(run.target) or empty_grid(run.stream, run.b, run.device)
    known_streams = {**run.known_streams, run.target: before}
    step, part = 0, before
    for part in generate_grid_tokens(
        run.model,
        known_streams,
        run.target,
        run.decoding,
        run.branches,
        run.rng,
        prompt_with_sentinel=run.prompt_with_sentinel,
    ):
        step += 1
        yield run.state(part, step)
    yield run.state(part, step, is_finished=True)


def _generate_sequence(run: _TargetRun) -> Iterator[GenerationStep]:
    """Generate a sequence, token by token; at the end the generated spans fill the gaps."""
    model, known_streams, target, device = run.model, run.known_streams, run.target, run.device
    # A sample without known tokens is one gap.
    visible = [
        row or [FIRST_SENTINEL] for row in (known_streams[target].rows() if target in known_streams else [[]] * run.b)
    ]
    num_gaps = [sum(map(is_sentinel, row)) for row in visible]
    known = [len(row) - number for row, number in zip(visible, num_gaps, strict=True)]
    limit = run.stream.num_tokens
    contexts = encode_branches(
        model, known_streams, target, run.branches, run.b, device, prompt_with_sentinel=run.prompt_with_sentinel
    )
    written: GeneratedTokens | None = None
    before = known_streams.get(target) or known_sequences(visible, device)
    spec, weights = infilling_spec(num_gaps, known, limit, device), run.branches.weights
    for written in generate_sequence_tokens(model, contexts, target, spec, run.decoding, run.rng, weights):
        yield run.state(before, written.num_generated, written)
    rows = written.rows() if written is not None else [[]] * run.b
    completed = [
        merge_spans(row, [FIRST_SENTINEL, *_truncate_generated(new, limit - num_known)])
        for row, new, num_known in zip(visible, rows, known, strict=True)
    ]
    place = written.num_generated if written is not None else 0
    yield run.state(known_sequences(completed, device), place, is_finished=True)


def _truncate_generated(written: list[int], room: int) -> list[int]:
    """Generated tokens with at most ``room`` beside sentinels, so that known tokens are never cut."""
    kept: list[int] = []
    for token in written:
        if is_sentinel(token) or room > 0:
            kept.append(token)
            room -= not is_sentinel(token)
    return kept


def _check_config(model: FourM, targets: Sequence[str], plan: GenerationConfig, given: Sequence[str]) -> None:
    """Check a plan before its first step.

    Raises:
        GenerationError: A target has more steps than tokens, or a condition that is not available by then.
    """
    finished: list[str] = []
    for target in targets:
        stream, decoding = model.streams[model.index[target]], plan.for_stream(target)
        if isinstance(stream, GridStream) and decoding.steps > stream.num_tokens:
            raise GenerationError(
                f"{target} has {stream.num_tokens} tokens and cannot be generated in {decoding.steps} steps: "
                f"ask for at most {stream.num_tokens}."
            )
        guidance_branches(decoding, target, given, finished, plan)
        finished.append(target)
