"""Records beside the labels: what each shard holds, and the labeller and licence of each modality."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.labelling.plan import LabelPlan, Shard
from experiments.labelling.reading import picture_size
from modalities.errors import DataError
from modalities.labellers.base import Labeller
from modalities.sources.base import Source
from modalities.storage.atomic import atomic_write_text, read_json_object

RECORDS = ".labels"
"""Folder of the shards' records, hidden so that no source takes it for data."""
MAX_NAMED_FAILURES = 100
"""Most failed samples that a summary names; the shards' records name all."""


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """The state of one modality in one shard."""

    fingerprint: str
    """That of the labeller and of the settings that concern it."""
    done: Mapping[str, str] = field(default_factory=dict)
    """Keys of the samples that have a label, and a text that changes with the files that it was made from."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """The same for samples that lack an input, or for which the labeller found nothing."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Keys of samples that could not be labelled, and why."""


class LabelRecords:
    """The records of one modality in a folder of labels."""

    def __init__(self, out: Path, output: str) -> None:
        self._out = out
        self._output = output
        self._folder = out / RECORDS / output

    @property
    def summary_path(self) -> Path:
        """The file that names the labeller."""
        return self._out / f"{self._output}.labels.json"

    @property
    def classes_path(self) -> Path:
        """The file with the names of the labels' classes, one a line, where they are not the modality's own."""
        return self._out / f"{self._output}.classes.txt"

    def read(self, shard: Shard) -> ShardRecord | None:
        """The record of a shard, or None where there is none."""
        path = self._folder / f"{shard.name}.json"
        return _parse_record(path) if path.exists() else None

    def write(self, shard: Shard, record: ShardRecord) -> None:
        """Write the record of a shard atomically.

        Raises:
            DataError: It cannot be written.
        """
        content = {
            "fingerprint": record.fingerprint,
            "done": record.done,
            "missing": record.missing,
            "failed": record.failed,
        }
        atomic_write_text(self._folder / f"{shard.name}.json", json.dumps(content) + "\n")

    def all(self) -> Iterable[ShardRecord]:
        """The records of every shard, whoever wrote them, the latest last: shards of two sizes may share samples."""
        paths = sorted(self._folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        return (_parse_record(path) for path in paths)

    def labels(self, fingerprint: str) -> dict[str, str | None]:
        """The signature of each sample that has a label; None for labels with another fingerprint."""
        found: dict[str, str | None] = {}
        for record in self.all():
            for key in (*record.missing, *record.failed):
                found.pop(key, None)
            found |= record.done if record.fingerprint == fingerprint else dict.fromkeys(record.done)
        return found

    def write_summary(self, plan: LabelPlan, labeller: Labeller, source: Source, fingerprint: str) -> None:
        """Write which labeller made the labels, from what and under which licence, and how many samples have one.

        Raises:
            DataError: It cannot be written.
        """
        classes = labeller.class_names
        if classes:
            atomic_write_text(self.classes_path, "".join(f"{name}\n" for name in classes))
        summary = {
            "modality": self._output,
            **_describe_labeller(labeller),
            "fingerprint": fingerprint,
            "size": picture_size(labeller, plan.size),
            "classes": self.classes_path.name if classes else None,
            "source": {
                "kind": plan.source.kind,
                "path": plan.source.path,
                "description": source.description,
                "license": source.license,
            },
        }
        # Another part may finish a shard meanwhile: whoever writes last has counted after that.
        counts, written = self._count(fingerprint), None
        while counts != written:
            text = json.dumps({**summary, **counts}, indent=1, default=list)
            atomic_write_text(self.summary_path, text + "\n")
            counts, written = self._count(fingerprint), counts

    def _count(self, fingerprint: str) -> dict[str, Any]:
        """How many samples have a label with this fingerprint, lack one, and failed, each counted once."""
        states: dict[str, tuple[str, str]] = {}
        for record in self.all():
            is_own = record.fingerprint == fingerprint
            for name, keys in (("labelled", record.done), ("missing", record.missing), ("failed", record.failed)):
                states |= {key: (name if is_own else "", keys[key]) for key in keys}
        failures = {key: reason for key, (name, reason) in states.items() if name == "failed"}
        counts = Counter(name for name, _ in states.values())
        return {
            "labelled": counts["labelled"],
            "missing": counts["missing"],
            "failed": len(failures),
            "failures": dict(list(failures.items())[:MAX_NAMED_FAILURES]),
        }

    def check_owner(self, fingerprint: str, folders: Sequence[Path], *, replaces: bool) -> None:
        """Check that the folder holds nothing but labels of this kind.

        Args:
            folders: Folders that labels of the modality go to.
            replaces: True where labels of another labeller, or with other settings, may be replaced.

        Raises:
            DataError: It holds files that no labeller made, or labels of another kind.
        """
        if not self.summary_path.exists():
            for folder in folders:
                if folder.is_dir() and any(folder.iterdir()) and not self._folder.is_dir():
                    raise DataError(
                        f"{folder} holds files that `fourm label` did not make: choose another --out, or move them."
                    )
            return
        known = read_json_object(self.summary_path)
        if known.get("fingerprint") != fingerprint and not replaces:
            raise DataError(
                f"{self.summary_path} says that {self._output} was labelled by {known.get('labeller')} with the "
                f"settings {known.get('settings')} at size {known.get('size')}, not as asked now: choose another "
                "--out, or replace the labels with --replace."
            )


def _describe_labeller(labeller: Labeller) -> dict[str, Any]:
    return {
        "labeller": labeller.name,
        "description": labeller.description,
        "provenance": labeller.provenance.value,
        "license": labeller.license,
        "inputs": [*labeller.inputs, *labeller.optional_inputs],
        "settings": labeller.settings,
        "weights": labeller.weights_digest,
        "version": labeller.version,
        "notes": labeller.notes,
    }


def _parse_record(path: Path) -> ShardRecord:
    try:
        return ShardRecord(**read_json_object(path))
    except TypeError as error:
        raise DataError(f"{path} is no record of a shard: {error}. Delete it to label the shard again.") from error
