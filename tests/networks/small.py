"""A small set of streams and a batch over them, for the tests of the model."""

import torch

from networks.batch import IGNORE, PackedInputs, TokenBatch
from networks.fourm.config import FourMConfig, Init, Sharing, Size
from networks.fourm.model import FourM
from networks.streams import EmbeddingStream, GridStream, PixelStream, SequenceStream

STREAMS = (
    PixelStream(name="rgb_pixels", num_tokens=4, channels=12, grid=2, patch=2),
    GridStream(name="depth", num_tokens=4, vocabulary="depth", vocab_size=7, grid=2),
    GridStream(name="canny", num_tokens=4, vocabulary="edges", vocab_size=5, grid=2),
    GridStream(name="sam", num_tokens=4, vocabulary="edges", vocab_size=5, grid=2),
    GridStream(name="code", num_tokens=3, vocabulary="code", vocab_size=6),
    SequenceStream(name="caption", num_tokens=6, vocabulary="text", vocab_size=20),
    SequenceStream(name="boxes", num_tokens=5, vocabulary="text", vocab_size=20),
    EmbeddingStream(name="t5", num_tokens=3, channels=9),
)
INDEX = {stream.name: number for number, stream in enumerate(STREAMS)}


def small_config(**changes: object) -> FourMConfig:
    """A model that runs in milliseconds."""
    given: dict[str, object] = {"width": 16, "heads": 2, "encoder_depth": 2, "decoder_depth": 2, **changes}
    return FourMConfig(size=Size.nano, **given)  # type: ignore[arg-type]


def small_model(seed: int = 0, **changes: object) -> FourM:
    """A small model in double precision, its weights large enough that every part matters."""
    torch.manual_seed(seed)
    model = FourM(STREAMS, small_config(**changes)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for table in (model.tokens, model.heads, model.decoder_token_embedding):
            table.table[-1].zero_()
        if model.position_embedding.learned is not None:
            model.position_embedding.learned[0].zero_()
    return model


def small_batch(seed: int = 0, *, padding: int = 1) -> TokenBatch:
    """Two samples: pixels, depth, a caption and an embedding in; depth, both edges, code and both sequences out."""
    generator = torch.Generator().manual_seed(seed)
    pixels, depth, caption, t5 = INDEX["rgb_pixels"], INDEX["depth"], INDEX["caption"], INDEX["t5"]
    stream = torch.tensor([[pixels, pixels, depth, depth, caption, caption, t5] + [0] * padding] * 2)
    position = torch.tensor([[0, 3, 1, 2, 0, 1, 0] + [0] * padding] * 2)
    ids = torch.randint(0, 7, stream.shape, generator=generator)
    ids[:, [0, 1, 6]] = 0
    visible = torch.ones_like(stream, dtype=torch.bool)
    if padding:
        visible[:, -padding:] = False
    n = stream.shape[1]
    slots = torch.tensor([0, 1, n, n + 1])
    rows = {
        "rgb_pixels": PackedInputs(values=torch.randn(4, 12, generator=generator, dtype=torch.float64), slots=slots),
        "t5": PackedInputs(
            values=torch.randn(2, 9, generator=generator, dtype=torch.float64), slots=torch.tensor([6, n + 6])
        ),
    }
    names = [
        "depth",
        "depth",
        "canny",
        "canny",
        "sam",
        "code",
        "code",
        "caption",
        "caption",
        "caption",
        "boxes",
        "boxes",
    ]
    decoder_stream = torch.tensor([[INDEX[name] for name in names] + [0] * padding] * 2)
    decoder_position = torch.tensor([[0, 3, 1, 2, 0, 0, 2, 0, 1, 2, 0, 1] + [0] * padding] * 2)
    decoder_visible = torch.ones_like(decoder_stream, dtype=torch.bool)
    targets = torch.randint(0, 5, decoder_stream.shape, generator=generator)
    if padding:
        decoder_visible[:, -padding:] = False
        targets[:, -padding:] = IGNORE
    return TokenBatch(
        ids=ids,
        stream=stream,
        position=position,
        visible=visible,
        rows=rows,
        decoder_ids=torch.randint(0, 20, decoder_stream.shape, generator=generator),
        decoder_stream=decoder_stream,
        decoder_position=decoder_position,
        decoder_visible=decoder_visible,
        targets=targets,
    )


__all__ = ["INDEX", "STREAMS", "Init", "Sharing", "small_batch", "small_config", "small_model"]
