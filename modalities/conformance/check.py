"""Runs the checks that concern a modality. Whatever a stranger's code raises is a failed check, not a crash."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modalities.conformance.facts import check_consistency, check_frozen, check_name, check_scaling
from modalities.conformance.subject import ContractError, ModalityUnderTest
from modalities.conformance.tokens import check_json, check_preprocess, check_text
from modalities.conformance.values import (
    check_constant_baseline,
    check_files,
    check_from_scene,
    check_metrics,
    check_render,
    check_transform,
)
from modalities.layouts import Scale
from modalities.spec import Modality, SequenceModality, learned_tokenizer

DEFAULT_SEEDS = (5, 12, 29)
"""Scenes that are looked at."""
DEFAULT_SCALE = Scale(size=64, patch=8, max_channels=32, max_vocab=512)
"""The scale that values are looked at in."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of the contract."""

    name: str
    passed: bool
    message: str = ""
    """What was expected and found, where it failed."""


def check_modality(
    modality: Modality, seeds: Sequence[int] = DEFAULT_SEEDS, scale: Scale = DEFAULT_SCALE
) -> list[CheckResult]:
    """Every check of the contract that concerns ``modality``; one that raises has failed."""
    try:
        small = modality.scaled(scale)
    except Exception as error:
        return [CheckResult(name="scaling", passed=False, message=f"scaled(): {type(error).__name__}: {error}")]
    subject = ModalityUnderTest(modality, small, tuple(seeds), scale)
    return [_run_check(name, check, subject) for name, check in CHECKS.items() if _applies_to(check, small)]


def assert_conforms(modality: Modality, seeds: Sequence[int] = DEFAULT_SEEDS, scale: Scale = DEFAULT_SCALE) -> None:
    """Raise AssertionError with the failed checks, if there are any."""
    failed = [result for result in check_modality(modality, seeds, scale) if not result.passed]
    lines = "".join(f"\n  {result.name}: {result.message}" for result in failed)
    if failed:
        raise AssertionError(f"Modality {modality.name!r} does not keep its contract:{lines}")


def _run_check(name: str, check: Callable[[ModalityUnderTest], None], subject: ModalityUnderTest) -> CheckResult:
    try:
        check(subject)
    except ContractError as error:
        return CheckResult(name=name, passed=False, message=str(error))
    except Exception as error:
        return CheckResult(name=name, passed=False, message=f"{type(error).__name__}: {error}")
    return CheckResult(name=name, passed=True)


CHECKS: dict[str, Callable[[ModalityUnderTest], None]] = {
    "name": check_name,
    "frozen": check_frozen,
    "consistency": check_consistency,
    "scaling": check_scaling,
    "from_scene": check_from_scene,
    "files": check_files,
    "transform": check_transform,
    "preprocess": check_preprocess,
    "json": check_json,
    "text": check_text,
    "metrics": check_metrics,
    "constant_baseline": check_constant_baseline,
    "render": check_render,
}
"""The checks by name, in the order of their dependence."""


def _applies_to(check: Callable[[ModalityUnderTest], None], modality: Modality) -> bool:
    """Whether a check is about this kind of modality at all."""
    if check is check_preprocess:
        return learned_tokenizer(modality) is not None
    if check in (check_json, check_text):
        return isinstance(modality, SequenceModality)
    return True
