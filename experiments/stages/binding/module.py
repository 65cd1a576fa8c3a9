"""The module that a binding stage trains, its streams, and the frozen encoder that its image's tower may be."""

from pathlib import Path

from lightning import seed_everything

from experiments.stages.context import StageContext
from experiments.stages.inputs import build_streams, load_text_tokenizer
from lightning_modules.binding import BindingModule
from lightning_modules.checkpoints.find import find_model
from lightning_modules.checkpoints.model import WEIGHTS_FILE, file_fingerprint, load_model
from modalities.errors import CheckpointError
from networks.streams import Stream, input_stream_name


def build_module(context: StageContext, seed: int) -> BindingModule:
    """The module with fresh weights.

    Raises:
        UserError: ``binding.image_encoder`` is no model's folder, or its model does not take the image.
    """
    config, streams, frozen = context.config, binding_streams(context), None
    if config.binding.image_encoder is not None:
        frozen = load_model(find_model(Path(config.binding.image_encoder))).model
        known = {stream.name: (type(stream), stream.num_tokens) for stream in frozen.streams}
        if known.get(streams[0].name) != (type(streams[0]), streams[0].num_tokens):
            raise CheckpointError(
                f"binding.image_encoder {config.binding.image_encoder} does not take {streams[0].name} of "
                f"{streams[0].num_tokens} tokens: give a model of this scale with {streams[0].modality}."
            )
    seed_everything(seed, verbose=False)
    return BindingModule(streams, config.binding, config.binding_optim, frozen)


def encoder_fingerprint(folder: str) -> str:
    """Digest of the weights of the model in a folder."""
    return file_fingerprint(find_model(Path(folder)) / WEIGHTS_FILE)


def binding_streams(context: StageContext) -> tuple[Stream, ...]:
    """The stream of each modality that is bound, the image's first: its pixels where it has them, else its tokens."""
    names = context.config.binding_modalities
    streams = build_streams(context, names, load_text_tokenizer(context))
    by_name = {stream.name: stream for stream in streams}
    return tuple(by_name[input_stream_name(name, streams)] for name in names)
