"""Quality of one tokenizer on held-out values: codebook usage, and the round trip by the modality's metrics."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from lightning_modules.checkpoints.tokenizer import QualityMetric
from lightning_modules.data.raw import RawStore
from lightning_modules.data.rows import load_rows, preprocessed_rows, rows_tensor
from modalities.metrics.reconstruction import default_reconstruction_metrics
from modalities.spec import Modality, SequenceModality
from networks.device import module_device
from networks.tokenizers.codec import encode_rows
from networks.tokenizers.tokenizer import CodebookUsage, Tokenizer, codebook_usage

ROUND_TRIP_BATCH = 64
"""Rows in one round trip."""


@dataclass(frozen=True, kw_only=True)
class TokenizerQuality:
    """Figures of a tokenizer's card."""

    usage: CodebookUsage | None
    """None where no held-out sample has a value of its modalities."""
    metrics: dict[str, QualityMetric]
    """By ``modality/metric``."""


@torch.no_grad()
def measure_tokenizer(
    tokenizer: Tokenizer, vocab_size: int, raw: RawStore, *, num_rows: int, num_values: int
) -> TokenizerQuality:
    """Measure a tokenizer on the held-out values of the modalities that share it.

    Args:
        num_rows: Rows that the codebook's use, and round trips of rows, are measured on.
        num_values: Values that round trips of whole values are measured on.
    """
    if not any(len(rows) for name in raw for rows in preprocessed_rows(raw.modalities[name], raw[name], 1)):
        return TokenizerQuality(usage=None, metrics={})
    codes = encode_rows(tokenizer, load_rows(raw, num_rows).numpy())
    quality: dict[str, QualityMetric] = {}
    for name, modality in raw.modalities.items():
        if isinstance(modality, SequenceModality):
            metrics = _row_metrics(modality, raw, tokenizer, num_rows)
        else:
            metrics = _value_metrics(modality, raw, tokenizer, num_values)
        for key, metric in metrics.items() if metrics is not None else ():
            quality[f"{name}/{key}"] = QualityMetric(
                value=float(metric.compute()), unit=str(metric.unit), higher_is_better=bool(metric.higher_is_better)
            )
    return TokenizerQuality(usage=codebook_usage(torch.from_numpy(codes), vocab_size), metrics=quality)


def _value_metrics(modality: Modality, raw: RawStore, tokenizer: Tokenizer, num_values: int) -> MetricCollection | None:
    """The modality's metrics, fed with whole values; None if no held-out sample has one."""
    values = [value for value in raw[modality.name][:num_values] if value is not None]
    if not values:
        return None
    metrics = modality.metrics()
    for start in range(0, len(values), ROUND_TRIP_BATCH):
        targets = values[start : start + ROUND_TRIP_BATCH]
        rows = rows_tensor([modality.preprocess(value) for value in targets])
        reconstruction = _round_trip(tokenizer, rows).numpy()
        predictions = modality.collate([modality.postprocess(row) for row in reconstruction])
        metrics.update(predictions, modality.collate(targets))
    return metrics


def _row_metrics(
    modality: SequenceModality, raw: RawStore, tokenizer: Tokenizer, num_rows: int
) -> MetricCollection | None:
    """The modality's metrics of rows, fed with the parts of its values; None if no held-out value has any."""
    parts = preprocessed_rows(modality, raw[modality.name], num_rows)
    if not any(len(part) for part in parts):
        return None
    metrics = modality.reconstruction_metrics() or default_reconstruction_metrics()
    for rows in rows_tensor(parts).split(ROUND_TRIP_BATCH):
        metrics.update(_round_trip(tokenizer, rows), rows.float())
    return metrics


def _round_trip(tokenizer: Tokenizer, rows: Tensor) -> Tensor:
    return tokenizer.decode(tokenizer.encode(rows.to(module_device(tokenizer)))).float().cpu()
