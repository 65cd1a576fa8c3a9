"""Scores of two arms and the input of their report, made by hand."""

from typing import Any

import numpy as np

from evaluation.report.input import LossCurve, ReportInput, StageDuration, TokenizerSummary
from evaluation.route import AnyRoute, MaskedTokens, Route, TokenizerRoundTrip
from evaluation.scores import CROSS_ENTROPY, WELL_FORMED, Score
from modalities.metrics.base import FRACTION
from modalities.rendering.sheet import ContactSheet
from tests.evaluation import world

ARMS = {"fourm_7": ("rgb", "shade", "caption"), "fourm_21": ("rgb", "shade", "glow", "caption", "t5_caption")}
BLEU: dict[str, Any] = {"unit": FRACTION, "higher_is_better": True, "chance": 0.1}


def score(arm: str, seed: int | None, route: AnyRoute, metric: str, value: float, **rest: Any) -> Score:
    """A score in metres, lower being better, unless ``rest`` says otherwise."""
    title = {"rmse": "RMSE", "bleu": "BLEU"}.get(metric, metric.replace("_", " "))
    known: dict[str, Any] = {"metric_title": title, "unit": "m", "higher_is_better": False, "num_samples": 40, **rest}
    return Score(arm=arm, seed=seed, route=route, metric=metric, value=value, **known)


def fake_scores(seeds: tuple[int, ...] = (0, 1)) -> list[Score]:
    """Scores of two arms: the second is better at shades beyond the noise, and equal at captions."""
    found = [
        score("", None, TokenizerRoundTrip(target=name), "rmse", 0.1, chance=0.9) for name in ("rgb", "shade", "glow")
    ]
    caption_trip = TokenizerRoundTrip(target="caption")
    found.append(score("", None, caption_trip, "bleu", 1.0, **BLEU))
    found.append(score("", None, caption_trip, WELL_FORMED, 1.0, unit=FRACTION, higher_is_better=True))
    for arm_number, (arm, names) in enumerate(ARMS.items()):
        for seed in seeds:
            found += _model_scores(arm, seed, names, offset=0.002 * seed, gain=0.1 * arm_number)
    probe = Route(source="t5_caption", target="caption")
    return found + [score("fourm_21", seed, probe, CROSS_ENTROPY, 0.25, chance=0.7, unit="nats") for seed in seeds]


def _model_scores(arm: str, seed: int, names: tuple[str, ...], offset: float, gain: float) -> list[Score]:
    found = []
    for target in (name for name in names if name != "t5_caption"):
        route = Route(source="rgb", target=target)
        found += [
            score(arm, seed, item, CROSS_ENTROPY, 2.0 + 20 * offset, chance=3.0, unit="nats")
            for item in (MaskedTokens(target=target), route)
        ]
        if target != "caption":
            found.append(score(arm, seed, route, "rmse", 0.5 + offset - gain, chance=0.9, upper_bound=0.1))
    caption = Route(source="rgb", target="caption")
    return [*found, score(arm, seed, caption, "bleu", 0.5 + 20 * offset, upper_bound=1.0, **BLEU)]


def fake_report() -> ReportInput:
    """A report of both arms with something in every section but the generated samples."""
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    return ReportInput(
        title="7 versus 21 <modalities>",
        command="fourm ablate quickstart.yaml",
        data="40 scenes.",
        arms=ARMS,
        seeds=(0, 1),
        modalities=world.modalities(),
        scores=fake_scores(),
        histories=[
            LossCurve(arm=arm, seed=seed, name="train", points=((0, 5.0), (1, 4.0))) for arm in ARMS for seed in (0, 1)
        ],
        tokenizers=[
            TokenizerSummary(name="rgb", members=("rgb",), vocab_size=4, num_tokens=4, used=0.9, perplexity=3.1),
            TokenizerSummary(
                name="shade", members=("shade", "glow"), vocab_size=400, num_tokens=4, used=0.05, perplexity=3.1
            ),
        ],
        sheets=[ContactSheet(title="RGB to Shade", columns=("RGB", "fourm_7"), rows=((picture, "a <word>"),))],
        stages=[
            StageDuration(kind="data", name="train", start=0, seconds=3),
            StageDuration(kind="tokenizer", name="rgb", start=3, seconds=4, reused=True),
        ],
        models={"fourm_7": {"parameters": "0.65 M"}},
        manifest={"git commit": "abc"},
        wall_seconds=553,
    )


def without_common_source() -> ReportInput:
    """A report whose second arm lacks the source of every route of the first, and is measured from another."""
    arms = {"with": ("rgb", "shade", "glow"), "without": ("shade", "glow")}
    scores = [
        score(arm, 0, Route(source=source, target="glow"), "rmse", 0.5, chance=0.9, upper_bound=0.1)
        for arm, source in (("with", "rgb"), ("without", "shade"))
    ]
    return ReportInput(
        title="No common source",
        command="fourm ablate quickstart.yaml",
        data="40 scenes.",
        arms=arms,
        seeds=(0,),
        modalities={name: item for name, item in world.modalities().items() if name in arms["with"]},
        scores=scores,
    )
