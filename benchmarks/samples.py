"""What benchmarks run on: the papers' streams at 224 x 224, random samples of them, and the machine's description."""

import os
from collections.abc import Sequence

import torch

from modalities.presets import FOURM_7, FOURM_21
from modalities.registry import default_registry
from networks.batch import Column, Samples
from networks.devices import processor
from networks.streams import Stream, StreamKind, streams_of

TEXT_VOCAB = 30_000
END = 3

FOURTEEN = (
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
ARMS = {7: FOURM_7, 14: FOURTEEN, 21: FOURM_21}


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

    def integers(most: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, most, shape, generator=generator)

    def sizes(most: int) -> torch.Tensor:
        least = int(shortest * most)
        return least + integers(most - least, b) if most > least else torch.full((b,), most)

    samples: dict[str, Column] = {}
    for stream in streams:
        n = stream.num_tokens
        lengths = torch.full((b,), n)
        match stream.kind:
            case StreamKind.pixels:
                side = stream.grid * stream.patch
                values = integers(256, b, side, side, stream.channels // stream.patch**2).to(torch.uint8)
            case StreamKind.grid:
                values = integers(stream.vocab, b, n)
            case StreamKind.embedding:
                lengths = 1 + sizes(n - 1)
                values = torch.randn(b, n, stream.channels, generator=generator).half()
            case StreamKind.sequence:
                lengths = 1 + stream.chunk * sizes((n - 1) // stream.chunk)
                values = 300 + integers(stream.vocab - 300, b, n)
                values[torch.arange(b), lengths - 1] = END
        present = torch.rand(b, generator=generator) >= missing
        samples[stream.name] = Column(values=values, lengths=lengths * present)
    return samples


def machine() -> str:
    """What this runs on, and how busy it is: figures of a busy machine are worth little."""
    load, threads = os.getloadavg()[0], torch.get_num_threads()
    return f"{processor()}, {os.cpu_count()} cores, load {load:.1f}, torch {torch.__version__}, {threads} threads"
