"""From whole token samples to what the model sees and predicts: at random for training, by name for evaluation.

Source: the input and target masking of 4M (arXiv:2312.06647, section 3; arXiv:2406.09406, section 3), for a whole batch
at once. Unlike the published code, a stream that is an input only takes no share of the targets, and a stream that a
sample lacks takes no share of anything.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray

from modalities.errors import UnknownNameError
from modalities.layouts import KeepScheme
from networks.batch import Samples, TokenBatch
from networks.masking.assemble import assemble
from networks.masking.budgets import BudgetLimits, sample_budgets
from networks.masking.choice import MaskPlan, select_tokens
from networks.masking.mixtures import KEEP_MODES, MaskingConfig, MaskingPreset, Mixture, mixture_table
from networks.masking.spans import merge_spans, split_spans
from networks.streams import GridStream, SequenceStream, Stream

__all__ = [
    "Masker",
    "MaskingConfig",
    "MaskingPreset",
    "Mixture",
    "merge_spans",
    "select",
    "select_partially",
    "split_spans",
]

UNLIMITED = 1 << 30
"""A budget that no sequence reaches."""


class Masker:
    """Draws what the encoder sees and what the decoder predicts. It keeps no state: randomness is the generator's."""

    def __init__(self, streams: Sequence[Stream], config: MaskingConfig) -> None:
        """Take the streams of the run.

        Raises:
            ConfigError: The config's mixtures leave these streams without input or without target.
        """
        self.streams = tuple(streams)
        self.config = config
        self.tables = mixture_table(self.streams, config.components)

    def __call__(self, samples: Samples, generator: torch.Generator) -> TokenBatch:
        """A masked batch of fixed width, on the samples' device."""
        config, rng, lengths = self.config, numpy_generator(generator), stream_lengths(samples, self.streams)
        budgets = sample_budgets(
            self.tables,
            lengths > 0,
            self._budget_limits(lengths),
            _sample_totals(config.min_inputs, config.num_inputs, len(lengths), rng),
            _sample_totals(config.min_targets, config.num_targets, len(lengths), rng),
            rng,
            redistribute=config.redistribute,
        )
        uniform, kind = rng.random(lengths.shape), self.tables.keep[budgets.component]
        keep = np.where(kind == KEEP_MODES.index(KeepScheme.random), uniform, 1.0)
        keep = np.where(kind == KEEP_MODES.index(KeepScheme.binary), uniform < 0.5, keep)
        plan = MaskPlan(lengths=lengths, num_visible=budgets.inputs, num_targets=budgets.targets, keep_rate=keep)
        encoder, decoder = select_tokens(self.streams, plan, rng, shuffle=True)
        return assemble(samples, self.streams, encoder, decoder, (config.num_inputs, config.num_targets))

    def _budget_limits(self, lengths: Int[ndarray, "b s"]) -> BudgetLimits:
        """The most tokens of each stream: what a sample has where tokens are dealt again, else what there can be."""
        exclusive = np.array([isinstance(stream, GridStream) for stream in self.streams])
        if self.config.redistribute:
            # A sequence that is hidden whole is asked for with a sentinel before and one behind it.
            return BudgetLimits(
                inputs=lengths, targets=np.where(exclusive | (lengths == 0), lengths, lengths + 2), exclusive=exclusive
            )
        max_tokens = np.array([stream.num_tokens for stream in self.streams]) * (lengths > 0)
        return BudgetLimits(inputs=max_tokens, targets=max_tokens, exclusive=exclusive)


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator seeded from ``generator``, which moves on by one draw."""
    seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device)
    return np.random.Generator(np.random.SFC64(int(seed)))


def stream_lengths(samples: Samples, streams: Sequence[Stream]) -> Int[ndarray, "b s"]:
    """What each sample has of each stream; nothing of one that is not in ``samples``."""
    nothing = torch.zeros_like(next(iter(samples.values())).lengths)
    columns = [samples[stream.name].lengths if stream.name in samples else nothing for stream in streams]
    lengths: ndarray = torch.stack(columns, dim=1).cpu().numpy().astype(np.int64)
    return lengths


def select(
    samples: Samples,
    streams: Sequence[Stream],
    *,
    inputs: Collection[str],
    targets: Collection[str],
    prompt_targets: bool = False,
) -> TokenBatch:
    """A batch that shows ``inputs`` whole and asks for ``targets`` whole, with nothing random; as wide as it must be.

    Args:
        prompt_targets: Also show the first sentinel of each sequence that is asked for, as published generation does.
            In training a sequence without input budget shows nothing, so that is the default.

    Raises:
        UnknownNameError: There is no stream of that name.
        ValueError: A stream is both input and target, or is a target but cannot be predicted.
    """
    lengths = stream_lengths(samples, streams)
    input_mask, target_mask, is_text = _role_masks(streams, inputs, targets)
    prompt = target_mask & is_text & prompt_targets
    plan = MaskPlan(
        lengths=lengths,
        num_visible=np.where(input_mask, lengths, prompt * (lengths > 0)),
        num_targets=np.where(is_text, UNLIMITED, lengths) * target_mask * (lengths > 0),
        keep_rate=np.broadcast_to(input_mask.astype(np.float64), lengths.shape),
    )
    encoder, decoder = select_tokens(streams, plan, np.random.default_rng(0), shuffle=False)
    return assemble(samples, streams, encoder, decoder)


def select_partially(
    samples: Samples,
    streams: Sequence[Stream],
    *,
    inputs: Collection[str],
    target: str,
    share: float,
    generator: torch.Generator,
) -> TokenBatch:
    """A batch that shows ``inputs`` whole and a random ``share`` of ``target``, and asks for the rest of it.

    Exactly that share of a grid, rounded, is visible. A sequence shows each token with that probability, and sentinels.
    Nothing else is drawn, so what other streams there are does not change the mask: runs with different modalities are
    asked the same from the same seed.

    Raises:
        UnknownNameError: There is no stream of that name.
        ValueError: The target is an input too, or cannot be predicted.
    """
    lengths = stream_lengths(samples, streams)
    input_mask, target_mask, is_text = _role_masks(streams, inputs, [target])
    encoder_width = np.where(is_text, UNLIMITED * (share > 0), np.rint(lengths * share).astype(np.int64))
    plan = MaskPlan(
        lengths=lengths,
        num_visible=np.where(input_mask, lengths, encoder_width * target_mask) * (lengths > 0),
        num_targets=np.where(is_text, UNLIMITED, lengths - encoder_width) * target_mask * (lengths > 0),
        keep_rate=np.broadcast_to(np.where(input_mask, 1.0, share), lengths.shape),
    )
    encoder, decoder = select_tokens(streams, plan, numpy_generator(generator), shuffle=False)
    return assemble(samples, streams, encoder, decoder)


def _sample_totals(min_tokens: int | None, max_tokens: int, b: int, rng: np.random.Generator) -> Int[ndarray, " b"]:
    """Each sample's whole budget."""
    return rng.integers(max_tokens if min_tokens is None else min_tokens, max_tokens, b, endpoint=True)


def _role_masks(
    streams: Sequence[Stream], inputs: Collection[str], targets: Collection[str]
) -> tuple[Bool[ndarray, " s"], Bool[ndarray, " s"], Bool[ndarray, " s"]]:
    """Which streams are inputs, which are targets, and which are texts."""
    known = [stream.name for stream in streams]
    for name in (*inputs, *targets):
        if name not in known:
            raise UnknownNameError("stream", name, known)
    for stream in streams:
        if stream.name in inputs and not stream.is_input:
            raise ValueError(f"Stream {stream.name!r} is given but cannot be an input.")
        if stream.name in targets and (stream.name in inputs or not stream.is_target):
            reason = "is an input too" if stream.is_target else "cannot be predicted"
            raise ValueError(f"Stream {stream.name!r} is asked for but {reason}.")
    input_mask, target_mask = (
        np.array([name in inputs for name in known]),
        np.array([name in targets for name in known]),
    )
    return input_mask, target_mask, np.array([isinstance(stream, SequenceStream) for stream in streams])
