"""A trained model with everything that it needs: values in, values out, in one process.

Each input is one value, or a list with one value for each sample of a batch; then each output is a list too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from lightning_modules.checkpoints.model import LoadedModel, load_model
from lightning_modules.inference.inputs import UserInput, prepare_user_inputs, stack_inputs, tokenize_sample
from lightning_modules.inference.request import (
    GenerationRequest,
    GenerationResult,
    Progress,
    resolve_alias,
    resolve_target,
    run_request,
)
from lightning_modules.inference.samples import check_ids, split_samples
from lightning_modules.inference.settings import GenerationOptions
from modalities.errors import UnknownNameError
from modalities.registry import Registry, default_registry
from modalities.spec import Modality, Provenance
from networks.fourm.model import Context
from networks.generation.config import GenerationError
from networks.generation.inputs import ConditionInput, prepare_inputs
from networks.generation.predict import encoder_features, predict_values, sentinel_prompt
from networks.generation.state import encoder_batch
from networks.streams import input_stream_name


class EncoderFeatures(NamedTuple):
    """Outputs of the encoder for one sample."""

    pooled: Float[np.ndarray, " d"]
    """The mean over the tokens."""
    tokens: Float[np.ndarray, "n d"]
    """One vector for each visible token, in the order of the model's streams."""


class Pipeline:
    """A trained model: `predict`, `generate`, `tokenize`, `detokenize` and `embed` of arrays, images, texts, records.

    Arrays and images of any size are cut to their centred square and resized as the modality says.
    """

    def __init__(self, loaded: LoadedModel, registry: Registry | None = None, device: str | None = None) -> None:
        """Put a loaded model on ``device``; on a GPU where None and there is one.

        Raises:
            UnknownNameError: A modality of the model is not installed.
        """
        self.loaded = loaded
        self.codec = loaded.codec(registry or default_registry())
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = loaded.model.to(chosen).eval()
        for tokenizer in self.codec.tokenizers.values():
            tokenizer.to(chosen).eval()

    @classmethod
    def load(cls, folder: Path, registry: Registry | None = None, device: str | None = None) -> "Pipeline":
        """The model in a model's folder.

        Raises:
            CheckpointError: The folder is incomplete or damaged.
        """
        return cls(load_model(folder), registry, device)

    def __repr__(self) -> str:
        parameters = sum(item.numel() for item in self.model.parameters())
        return f"Pipeline({', '.join(self.modalities)}: {parameters / 1e6:.1f} M parameters)"

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """The model's modalities, at its sizes."""
        return self.codec.modalities

    @property
    def targets(self) -> list[str]:
        """The modalities that it can predict."""
        return [stream.name for stream in self.model.streams if stream.is_target]

    @property
    def card(self) -> Mapping[str, Any]:
        """The model's card: data, arm, seed, size, steps."""
        return self.loaded.card

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Any], to: str | Sequence[str]) -> dict[str, Any]:
        """The most likely value of each target given the inputs; nothing is drawn, and no target sees another.

        Grids are predicted in one step and decoded from the mean of the code vectors, class maps and edges from the
        most likely codes; sequences are written greedily. The inputs are encoded once.

        Args:
            inputs: By modality.
            to: One target, or several.

        Returns:
            By target, under the requested name; a list where the inputs are lists.

        Raises:
            UserError: An input or a target does not fit the model.
        """
        samples, is_batch = split_samples(inputs, self.modalities)
        resolved = {name: resolve_target(name, self.model, self.codec) for name in _names(to)}
        self._require_tokenizers([*self._tokenized(samples[0], list(resolved.values())), *resolved.values()])
        prepared = self._prepare(samples)
        for target in resolved.values():
            if target in prepared:
                raise GenerationError(
                    f"{target} is both an input and a target: generate what is missing of it instead."
                )
        known = prepare_inputs(self.model, prepared, list(resolved.values()))
        device, contexts = self.model.mask_token.device, dict[tuple[str, ...], Context]()
        out: dict[str, Any] = {}
        for name, target in resolved.items():
            prompt = sentinel_prompt(self.model.streams[self.model.index[target]], len(samples), device)
            if tuple(prompt) not in contexts:
                batch = encoder_batch([{**known, **prompt}], self.model.streams, len(samples), device)
                contexts[tuple(prompt)] = self.model.encode(batch)
            values = predict_values(
                self.model,
                self.codec,
                contexts[tuple(prompt)],
                target,
                use_argmax=self.modalities[target].is_discrete,
            ).values
            out[name] = values if is_batch else values[0]
        return out

    def generate(
        self,
        inputs: Mapping[str, Any],
        to: str | Sequence[str],
        *,
        num: int = 1,
        seed: int = 0,
        options: GenerationOptions | None = None,
        masks: Mapping[str, Any] | None = None,
        in_order: bool = False,
    ) -> dict[str, list[Any]]:
        """Samples of the targets, one after another, each an input of the next.

        Args:
            inputs: By modality; empty for none. ``[S_1]`` in a text is a gap to fill.
            to: One target, or several.
            num: Variations.
            seed: Of all that is drawn; variation i is the same whatever ``num`` is.
            options: Settings on top of the published ones.
            masks: By modality of an input, the part to generate anew: flags (h, w), or an image that is white there.
            in_order: Generate in the order of ``to`` instead of the published one.

        Returns:
            By target, under the requested name: a list with one value for each variation; where the inputs
            are lists, a list of such lists.

        Raises:
            UserError: An input, a target or a setting does not fit the model.
        """
        samples, is_batch = split_samples(inputs, self.modalities, masks)
        names = _names(to)
        results = [
            self.run(
                GenerationRequest(
                    sources=sample,
                    targets=names,
                    options=options or GenerationOptions(),
                    num=num,
                    seed=seed,
                    is_ordered=not in_order,
                )
            )
            for sample in samples
        ]
        found = {name: [result.values[resolve_alias(name, self.modalities)] for result in results] for name in names}
        return found if is_batch else {name: values[0] for name, values in found.items()}

    def run(self, request: GenerationRequest, progress: Progress = lambda *_: None) -> GenerationResult:
        """Run one request for generation, and answer with tokens and settings too.

        Raises:
            UserError: An input, a target or a setting does not fit the model.
        """
        targets = [resolve_target(name, self.model, self.codec) for name in request.targets]
        self._require_tokenizers([*self._tokenized(request.sources, targets), *targets])
        return run_request(self.model, self.codec, request, progress)

    def tokenize(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Token ids (n,) int64 of each input; a list of them where the inputs are lists.

        Raises:
            UserError: An input does not fit the model, or its modality has no tokens.
        """
        samples, is_batch = split_samples(inputs, self.modalities)
        self._require_tokenizers(samples[0])
        rows = [
            tokenize_sample(self.codec, {name: source.value for name, source in sample.items()}) for sample in samples
        ]
        return {name: [row[name] for row in rows] if is_batch else rows[0][name] for name in rows[0]}

    def detokenize(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """The values of token ids (n,), as `tokenize` gives them; a list of them where the tokens are lists.

        Raises:
            UserError: The model has no such modality, or the ids are not its tokens.
        """
        self._require_tokenizers(tokens)
        values: dict[str, Any] = {}
        for name, ids in tokens.items():
            full = resolve_alias(name, self.modalities)
            rows = [check_ids(self.codec, full, row) for row in (ids if isinstance(ids, list) else [ids])]
            batch = torch.from_numpy(np.stack(rows)) if self.codec.is_dense(full) else [row.tolist() for row in rows]
            decoded = self.codec.decode(full, batch).values
            values[name] = decoded if isinstance(ids, list) else decoded[0]
        return values

    @torch.no_grad()
    def embed(self, inputs: Mapping[str, Any]) -> EncoderFeatures | list[EncoderFeatures]:
        """Outputs of the encoder given the inputs: their mean, and one vector for each token.

        An image enters as its pixels where the model takes them. Inputs that are lists give a list.

        Raises:
            UserError: An input does not fit the model.
        """
        samples, is_batch = split_samples(inputs, self.modalities)
        self._require_tokenizers(self._tokenized(samples[0], []))
        prepared = self._prepare(samples)
        # There is no target here; any name of one passes the check.
        known = prepare_inputs(self.model, prepared, [next(name for name in self.targets if name not in prepared)])
        batch = encoder_batch([known], self.model.streams, len(samples), self.model.mask_token.device)
        features = encoder_features(self.model, batch).float().cpu().numpy()
        rows = [row[visible] for row, visible in zip(features, batch.visible.cpu().numpy(), strict=True)]
        found = [EncoderFeatures(pooled=row.mean(axis=0), tokens=row) for row in rows]
        return found if is_batch else found[0]

    def notice(self, targets: Sequence[str]) -> str:
        """A caution about the model's answers, in one line: its training data, and targets that are proxies."""
        data = self.card.get("data", "data that its card does not name")
        notice = str(self.card.get("notice", f"This model was trained on {data}: its answers on photographs are poor."))
        proxies = [name for name in targets if self.modalities[name].provenance is Provenance.proxy]
        if proxies:
            notice += f" {', '.join(proxies)} are proxies, not the features of the networks they are named after."
        return notice

    def _prepare(self, samples: Sequence[Mapping[str, UserInput]]) -> dict[str, ConditionInput]:
        """The inputs of all samples as one batch, by stream."""
        return stack_inputs(
            [prepare_user_inputs(self.model, self.codec, sample).condition_inputs for sample in samples]
        )

    def _tokenized(self, inputs: Mapping[str, Any], targets: Sequence[str]) -> list[str]:
        """The inputs that enter as tokens: an image enters as its pixels alone, unless the rest of it is generated."""
        names = [resolve_alias(name, self.modalities) for name in inputs]
        streams = self.model.streams
        return [name for name in names if name in targets or input_stream_name(name, streams) == name]

    def _require_tokenizers(self, names: Sequence[str] | Mapping[str, Any]) -> None:
        for name in (resolve_alias(name, self.modalities) for name in names):
            if name not in self.modalities:
                raise UnknownNameError("modality of this model", name, self.modalities)
            self.loaded.require_tokenizers(self.modalities[name])


def _names(to: str | Sequence[str]) -> list[str]:
    names = [to] if isinstance(to, str) else list(to)
    if not names:
        raise GenerationError("There is nothing to predict: name at least one target.")
    return names
