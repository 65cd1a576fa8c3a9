"""Cases of masking: spans with a given mask, and the distribution of token budgets."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from modalities.mixtures import Mixture
from networks.masking.budgets import BudgetLimits, sample_budgets
from networks.masking.mixtures import mixture_table
from networks.masking.spans import merge_spans, split_spans
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream
from tests.reference.check import Check, compare_values

NUM_SAMPLES = 20_000

MAX_STANDARD_ERRORS = 4.5
"""Standard errors that two samples of one distribution may differ by: seven in a million do by chance."""


def is_span_masking(content: Any) -> bool:
    """True for sequences with masks."""
    return isinstance(content, dict) and ("token_level" in content or "chunk_level" in content)


def check_spans(case: str, content: Mapping[str, Any]) -> Iterator[Check]:
    """Inputs, targets and what they merge to."""
    tokens, chunks = content.get("token_level", []), content.get("chunk_level", [])
    found = [split_spans(item["sequence"], item["masked"]) for item in tokens]
    if tokens:
        yield compare_values(case, "token-level spans", found, [(item["input"], item["target"]) for item in tokens])
        merged = [merge_spans(item["input"], item["target"]) for item in tokens]
        yield compare_values(case, "merged spans", merged, [item.get("merged", item["sequence"]) for item in tokens])
    if chunks:
        found = [
            split_spans(
                [token for chunk in item["chunks"] for token in chunk],
                [flag for chunk, flag in zip(item["chunks"], item["masked"], strict=True) for _ in chunk],
            )
            for item in chunks
        ]
        yield compare_values(case, "chunk-level spans", found, [(item["input"], item["target"]) for item in chunks])


def is_budgets(content: Any) -> bool:
    """True for statistics of budgets, by setting."""
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(item, dict) and {"max_tokens", "num_input"} <= set(item) for item in content.values())
    )


def check_budgets(case: str, content: Mapping[str, Any]) -> Iterator[Check]:
    """Mean, spread and share of zeros of every modality, on both sides.

    The test: two sample means differ by at most 4.5 standard errors of their difference; shares of zeros likewise, as
    binomial shares; spreads likewise, the standard error of a variance being taken from our sample's fourth moment.
    Errors are told in standard errors.
    """
    for name, item in content.items():
        found = _sample_budgets(item)
        for side, budgets in found.items():
            worst = {"mean": 0.0, "std": 0.0, "zeros": 0.0}
            for number, modality in enumerate(item["max_tokens"]):
                expected = item[side].get(modality)
                if expected is not None:
                    for kind, error in _standard_errors(budgets[:, number], expected, item["draws"]).items():
                        worst[kind] = max(worst[kind], error)
            for kind, error in worst.items():
                quantity = f"{name} {side} {kind} (standard errors)"
                yield Check(case=case, quantity=quantity, error=error, tolerance=MAX_STANDARD_ERRORS)


def _sample_budgets(item: Mapping[str, Any]) -> dict[str, ndarray]:
    streams = [published_stream(name, max_tokens) for name, max_tokens in item["max_tokens"].items()]
    mixture = Mixture(
        input_alpha=_shared_alpha(item["input_alpha"]),
        input_overrides=_alpha_by_modality(item["input_alpha"]),
        target_alpha=_shared_alpha(item["target_alpha"]),
        target_overrides=_alpha_by_modality(item["target_alpha"]),
    )
    present = np.ones((NUM_SAMPLES, len(streams)), dtype=np.bool_)
    max_tokens = np.array([stream.num_tokens for stream in streams]) * present
    shared = np.array([isinstance(stream, GridStream) for stream in streams])
    found = sample_budgets(
        mixture_table(streams, [mixture]),
        present,
        BudgetLimits(inputs=max_tokens, targets=max_tokens, exclusive=shared),
        np.full(NUM_SAMPLES, item["num_input"]),
        np.full(NUM_SAMPLES, item["num_target"]),
        np.random.default_rng(0),
        redistribute=False,
    )
    return {"input": found.inputs, "target": found.targets}


def _shared_alpha(alpha: Any) -> float:
    """The concentration of modalities that have none of their own."""
    return 0.0 if isinstance(alpha, dict) else float(alpha)


def _alpha_by_modality(alpha: Any) -> dict[str, float]:
    return {name: float(value) for name, value in alpha.items()} if isinstance(alpha, dict) else {}


def published_stream(name: str, max_tokens: int) -> Stream:
    """A stream called as a published model calls it, with the least that masking reads."""
    if name == "rgb@224":
        return PixelStream(name=name, num_tokens=max_tokens, channels=3, grid=1, patch=1)
    if name == "t5_caption":
        return EmbeddingStream(name=name, num_tokens=max_tokens, channels=1)
    tokens = GridStream if name.startswith("tok_") else SequenceStream
    return tokens(name=name, num_tokens=max_tokens, vocabulary=name, vocab_size=1)


def _standard_errors(found: ndarray, expected: Mapping[str, float], draws: int) -> dict[str, float]:
    """How far mean, spread and share of zeros lie from what is expected, in standard errors."""
    scale = np.sqrt(1 / len(found) + 1 / draws)
    mean, std = found.mean(), found.std()
    zeros, share = (found == 0).mean(), max(float(expected["p_zero"]), 0.5 / draws)
    fourth = ((found - mean) ** 4).mean()
    of_variance = np.sqrt(max(fourth - std**4, 1e-12))
    variance_error = abs(std**2 - expected["std"] ** 2) / (of_variance * scale) if fourth else float(expected["std"])
    return {
        "mean": float(abs(mean - expected["mean"]) / (max(std, 1e-9) * scale)),
        "std": float(variance_error),
        "zeros": float(abs(zeros - expected["p_zero"]) / (np.sqrt(share * (1 - min(share, 1 - 0.5 / draws))) * scale)),
    }
