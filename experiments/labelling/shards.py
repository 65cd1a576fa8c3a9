"""Labels one shard: reads its samples, calls the labellers in batches, writes what they make and a record of it."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from experiments.labelling.plan import LabelFormat, LabelPlan, Shard
from experiments.labelling.reading import SampleReader, picture_size, value_version
from experiments.labelling.records import LabelRecords, ShardRecord
from experiments.labelling.writers import LabelWriter, is_label_there, open_writer
from modalities.checks import check_value
from modalities.errors import ConfigError, DataError, UserError
from modalities.labellers.base import Labeller
from modalities.sources.base import Source
from modalities.spec import Value


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What became of a shard, counted over all modalities."""

    shard: Shard
    labelled: int = 0
    kept: int = 0
    """Labels of an earlier call."""
    missing: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    """Reasons by sample and modality."""


@dataclass(kw_only=True)
class _Progress:
    """The record of one modality while its shard is labelled."""

    labeller: Labeller
    writer: LabelWriter
    signatures: Mapping[str, str]
    known: Mapping[str, str | None]
    """Signatures of the labels that lie there from earlier calls; None where they are of another kind."""
    done: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    num_kept: int = 0
    """Labels of another shard of an earlier call."""
    is_finished: bool = False
    """True where the shard has all of its labels of this modality, which others may take."""


def label_fingerprint(plan: LabelPlan, labeller: Labeller) -> str:
    """The labeller's fingerprint, with the size of pictures where that matters."""
    return f"{labeller.fingerprint()}-{picture_size(labeller, plan.size)}"


def _sample_signatures(plan: LabelPlan, source: Source, key: str) -> dict[str, str]:
    """By output, a text that changes with what the label of a sample is made from.

    An input that another labeller of the plan makes counts by that labeller and by what its label is made from.
    """
    signatures: dict[str, str] = {}
    by_output = {item.output: item for item in plan.labellers}
    for item in plan.labellers:
        facts = []
        for name in (*item.inputs, *item.optional_inputs):
            if name in by_output and name != item.output:
                facts.append((name, label_fingerprint(plan, by_output[name]), signatures[name]))
            else:
                facts.append((name, "", value_version(source, key, plan.modalities[name])))
        signatures[item.output] = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return signatures


def label_shard(
    plan: LabelPlan, source: Source, shard: Shard, known: Mapping[str, Mapping[str, str | None]]
) -> ShardResult:
    """Make the labels of a shard that are not there yet.

    Args:
        known: Signatures by key of the labels that earlier calls left in one file a sample, by modality; None for those
            that another labeller made, or one with other settings.

    Raises:
        DataError: A sample cannot be labelled, and the plan does not skip such samples; the message names it.
    """
    by_key = {key: _sample_signatures(plan, source, key) for key in shard.keys}
    signatures = {output: {key: found[output] for key, found in by_key.items()} for output in plan.outputs}
    records = {output: LabelRecords(plan.out, output) for output in plan.outputs}
    stale = _stale_labellers(plan, shard, records, signatures)
    kept = len(shard.keys) * (len(plan.labellers) - len(stale))
    if not stale:
        return ShardResult(shard=shard, kept=kept)
    with ExitStack() as stack:
        states = [
            _Progress(
                labeller=item,
                writer=stack.enter_context(open_writer(plan, shard, plan.modalities[item.output])),
                signatures=signatures[item.output],
                known=known.get(item.output, {}),
            )
            for item in plan.labellers
            if item.output in stale or plan.format is LabelFormat.folder
        ]
        for state in states:
            record = records[state.labeller.output].read(shard)
            if state.labeller.output not in stale and record is not None:
                state.is_finished, state.done = True, dict(record.done)
        kept += _label_samples(plan, source, shard, states)
    made = [state for state in states if not state.is_finished]
    for state in made:
        record = ShardRecord(
            fingerprint=label_fingerprint(plan, state.labeller),
            done=state.done,
            missing=state.missing,
            failed=state.failed,
        )
        records[state.labeller.output].write(shard, record)
    return _result(shard, made, kept)


def _result(shard: Shard, made: Sequence[_Progress], kept: int) -> ShardResult:
    return ShardResult(
        shard=shard,
        labelled=sum(len(state.done) - state.num_kept for state in made),
        kept=kept,
        missing=sum(len(state.missing) for state in made),
        failures={f"{key} ({state.labeller.output})": reason for state in made for key, reason in state.failed.items()},
    )


def _stale_labellers(
    plan: LabelPlan,
    shard: Shard,
    records: Mapping[str, LabelRecords],
    signatures: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Outputs whose labels in a shard are not all there; in tars all of them, as they may take each other's labels."""
    stale = [
        item.output
        for item in plan.labellers
        if not _is_done(plan, shard, item, records[item.output].read(shard), signatures[item.output])
    ]
    return list(plan.outputs) if stale and plan.format is LabelFormat.webdataset else stale


def _is_done(
    plan: LabelPlan, shard: Shard, labeller: Labeller, record: ShardRecord | None, signatures: Mapping[str, str]
) -> bool:
    return (
        record is not None
        and record.fingerprint == label_fingerprint(plan, labeller)
        and {**record.missing, **record.done} == signatures
        and all(is_label_there(plan, shard, plan.modalities[labeller.output], key) for key in record.done)
    )


def _label_samples(plan: LabelPlan, source: Source, shard: Shard, states: Sequence[_Progress]) -> int:
    """Label the samples of a shard in batches; the number of labels that lie there from another shard."""
    step = max(state.labeller.batch_size for state in states)
    for begin in range(0, len(shard.keys), step):
        keys = shard.keys[begin : begin + step]
        readers = {key: SampleReader(source, key, plan.size) for key in keys}
        for state in states:
            todo = [key for key in keys if not _keep(state, readers[key], key)]
            for first in range(0, len(todo), state.labeller.batch_size):
                _label_batch(plan, state, readers, todo[first : first + state.labeller.batch_size])
    return sum(state.num_kept for state in states)


def _keep(state: _Progress, reader: SampleReader, key: str) -> bool:
    """True where a sample needs no label: its shard has it, or another shard of an earlier call left it."""
    output, read_earlier = state.labeller.output, state.writer.earlier(key)
    if not state.is_finished:
        earlier = state.known.get(key)
        if earlier is None or earlier != state.signatures[key] or read_earlier is None:
            return False
        state.done[key] = earlier
        state.num_kept += 1
    if key in state.done:
        assert read_earlier is not None, f"the label {output} of {key!r} is recorded and has no file"
        reader.defer(output, read_earlier)
    else:
        reader.add(output, None)
    return True


def _label_batch(plan: LabelPlan, state: _Progress, readers: Mapping[str, SampleReader], keys: Sequence[str]) -> None:
    """Label up to a batch of samples with one labeller, and write the labels."""
    inputs: dict[str, dict[str, Value]] = {}
    for key in keys:
        try:
            values = _read_inputs(plan, state.labeller, readers[key])
        except DataError as error:
            _fail(plan, state, key, str(error))
            continue
        if values is None:
            _record_missing(state, key)
            readers[key].add(state.labeller.output, None)
        else:
            inputs[key] = values
    for key, value in _call(plan, state, inputs).items():
        readers[key].add(state.labeller.output, value)
        if value is None:
            _record_missing(state, key)
            continue
        state.writer.write(key, value)
        state.done[key] = state.signatures[key]


def _record_missing(state: _Progress, key: str) -> None:
    """Record a sample without a label, and remove the one that an earlier call made."""
    state.missing[key] = state.signatures[key]
    if key in state.known:
        state.writer.discard(key)


def _read_inputs(plan: LabelPlan, labeller: Labeller, reader: SampleReader) -> dict[str, Value] | None:
    names = (*labeller.inputs, *labeller.optional_inputs)
    return labeller.select_inputs({name: reader.read(plan.modalities[name], labeller) for name in names})


def _call(plan: LabelPlan, state: _Progress, inputs: Mapping[str, Mapping[str, Value]]) -> dict[str, Value | None]:
    """The checked labels of some samples; a batch that fails is labelled again one by one, to name the sample."""
    if not inputs:
        return {}
    labeller, modality = state.labeller, plan.modalities[state.labeller.output]
    try:
        values = labeller.label_batch(list(inputs.values()))
        pairs = zip(inputs, values, strict=True)
        origin = f"The label of {labeller.name}"
        return {key: None if value is None else check_value(modality, value, origin) for key, value in pairs}
    except ConfigError:
        raise
    except Exception as error:
        if len(inputs) > 1:
            found: dict[str, Value | None] = {}
            for key, sample in inputs.items():
                found |= _call(plan, state, {key: sample})
            return found
        (key,) = inputs
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        _fail(plan, state, key, reason)
        return {}


def _fail(plan: LabelPlan, state: _Progress, key: str, reason: str) -> None:
    """Record a sample that cannot be labelled, or end the work."""
    if not plan.skips_failures:
        raise DataError(
            f"Sample {key!r} cannot be labelled with {state.labeller.output} by {state.labeller.name}: {reason} "
            "(--on-error skip leaves such samples out.)"
        )
    state.failed[key] = " ".join(reason.split())
    if key in state.known:
        state.writer.discard(key)
