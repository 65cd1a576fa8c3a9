"""Runs the checks that concern a modality. An exception of the modality's own code is a failed check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modalities.conformance.facts import check_consistency, check_frozen, check_name, check_scaling
from modalities.conformance.subject import ContractError, ModalityUnderTest
from modalities.conformance.tokens import check_json, check_preprocess, check_text
from modalities.conformance.values import (
    check_checks,
    check_constant_baseline,
    check_files,
    check_metrics,
    check_render,
    check_transform,
    check_values,
)
from modalities.spec import Modality, SequenceModality, Value, learned_tokenizer


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of the contract."""

    name: str
    passed: bool
    message: str = ""
    """Expected and found, where the check failed."""


def check_modality(modality: Modality, values: Sequence[Value]) -> list[CheckResult]:
    """Every check of the contract that concerns ``modality``; one that raises has failed.

    Args:
        values: Two or more legal values, of the shape that the modality's own layout says: `scene_values` of
            `modalities.sources.scenes`, or a data set's.
    """
    subject = ModalityUnderTest(modality, tuple(values))
    return [_run_check(name, check, subject) for name, check in CHECKS.items() if _applies_to(check, modality)]


def assert_conforms(modality: Modality, values: Sequence[Value]) -> None:
    """Raise AssertionError with the failed checks, if there are any; see `check_modality`."""
    failed = [result for result in check_modality(modality, values) if not result.passed]
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
    "values": check_values,
    "check": check_checks,
    "scaling": check_scaling,
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
    """True if a check is about this kind of modality."""
    if check is check_preprocess:
        return learned_tokenizer(modality) is not None
    if check in (check_json, check_text):
        return isinstance(modality, SequenceModality)
    return True
