"""What benchmarks run on: the papers' streams at 224 x 224, random samples of them, and the machine's description."""

import os
from collections.abc import Sequence

import torch

from modalities.presets import FOURM_7, FOURM_21
from modalities.registry import default_registry
from networks.batch import PaddedTokens, Samples
from networks.kernels.cpu import cpu_name
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream, Stream, streams_of

TEXT_VOCAB = 30_000
EOS_ID = 3

FOURM_14 = (
    *FOURM_7,
    "canny_edges",
    "sam_edges",
    "color_palette",
    "human_poses",
    "dinov2",
    "dinov2_global",
    "metadata_image",
)
"""Halfway from 7 to 21, with as many sequences among them as the whole has."""
MODALITY_SETS = {7: FOURM_7, 14: FOURM_14, 21: FOURM_21}


def published_streams(names: Sequence[str] = FOURM_21, *, shared_text: bool = True) -> tuple[Stream, ...]:
    """The streams of some modalities at their published scale."""
    registry = default_registry()
    return streams_of({name: registry[name] for name in names}, TEXT_VOCAB, shared_text=shared_text)


def random_samples(
    streams: Sequence[Stream], b: int, seed: int = 0, *, missing: float = 0.0, shortest: float = 0.0
) -> Samples:
    """Random ids, pixels and vectors, and sequences with an end token.

    Args:
        missing: Share of the values that are left out.
        shortest: Length of the shortest sequences, as a share of the longest; lengths are uniform between the two.
    """
    generator = torch.Generator().manual_seed(seed)

    def random_ids(upper: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, upper, shape, generator=generator)

    def random_lengths(upper: int) -> torch.Tensor:
        lower = int(shortest * upper)
        return lower + random_ids(upper - lower, b) if upper > lower else torch.full((b,), upper)

    samples: dict[str, PaddedTokens] = {}
    for stream in streams:
        n = stream.num_tokens
        lengths = torch.full((b,), n)
        match stream:
            case PixelStream():
                side = stream.grid * stream.patch
                values = random_ids(256, b, side, side, stream.channels // stream.patch**2).to(torch.uint8)
            case GridStream():
                values = random_ids(stream.vocab_size, b, n)
            case EmbeddingStream():
                lengths = 1 + random_lengths(n - 1)
                values = torch.randn(b, n, stream.channels, generator=generator).half()
            case SequenceStream():
                lengths = 1 + stream.chunk * random_lengths((n - 1) // stream.chunk)
                values = 300 + random_ids(stream.vocab_size - 300, b, n)
                values[torch.arange(b), lengths - 1] = EOS_ID
        present = torch.rand(b, generator=generator) >= missing
        samples[stream.name] = PaddedTokens(values=values, lengths=lengths * present)
    return samples


def describe_machine() -> str:
    """What this runs on, and how busy it is: figures of a busy machine are worth little."""
    load, threads = os.getloadavg()[0], torch.get_num_threads()
    return f"{cpu_name()}, {os.cpu_count()} cores, load {load:.1f}, torch {torch.__version__}, {threads} threads"
