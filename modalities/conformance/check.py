"""Runs the checks that concern a modality. Whatever a stranger's code raises is a failed check, not a crash."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modalities.conformance.facts import agrees_with_itself, is_frozen, is_named_well, scales
from modalities.conformance.subject import ContractError, Subject
from modalities.conformance.tokens import is_prepared, is_spelled
from modalities.conformance.values import is_drawn, is_measured, is_seen, is_typical, keeps_files, looks
from modalities.spec import Modality, Scale, SequenceModality, learnt

SEEDS = (5, 12, 29)
"""Scenes that are looked at."""
SCALE = Scale(size=64, patch=8, max_channels=32, max_vocab=512)
"""The scale that values are looked at in."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of the contract."""

    name: str
    passed: bool
    message: str = ""
    """What was expected and found, where it failed."""


def check_modality(modality: Modality, seeds: Sequence[int] = SEEDS, scale: Scale = SCALE) -> list[CheckResult]:
    """Every check of the contract that concerns ``modality``; one that raises has failed."""
    try:
        small = modality.at(scale)
    except Exception as error:
        return [CheckResult(name="scales", passed=False, message=f"at(): {type(error).__name__}: {error}")]
    subject = Subject(modality, small, tuple(seeds), scale)
    return [_run(name, check, subject) for name, check in CHECKS.items() if _concerns(check, small)]


def assert_conforms(modality: Modality, seeds: Sequence[int] = SEEDS, scale: Scale = SCALE) -> None:
    """Raise AssertionError with the failed checks, if there are any."""
    failed = [result for result in check_modality(modality, seeds, scale) if not result.passed]
    lines = "".join(f"\n  {result.name}: {result.message}" for result in failed)
    if failed:
        raise AssertionError(f"Modality {modality.name!r} does not keep its contract:{lines}")


def _run(name: str, check: Callable[[Subject], None], subject: Subject) -> CheckResult:
    try:
        check(subject)
    except ContractError as error:
        return CheckResult(name=name, passed=False, message=str(error))
    except Exception as error:
        return CheckResult(name=name, passed=False, message=f"{type(error).__name__}: {error}")
    return CheckResult(name=name, passed=True)


CHECKS: dict[str, Callable[[Subject], None]] = {
    "name": is_named_well,
    "frozen": is_frozen,
    "agreement": agrees_with_itself,
    "scales": scales,
    "look": looks,
    "files": keeps_files,
    "augment": is_seen,
    "prepare": is_prepared,
    "text": is_spelled,
    "metrics": is_measured,
    "typical": is_typical,
    "draw": is_drawn,
}
"""The checks by name, in the order of their dependence."""


def _concerns(check: Callable[[Subject], None], modality: Modality) -> bool:
    """Whether a check is about this kind of modality at all."""
    if check is is_prepared:
        return learnt(modality) is not None
    if check is is_spelled:
        return isinstance(modality, SequenceModality)
    return True
