"""TensorBoard: one event file in the run folder, written without TensorFlow or torch.

The bytes of the file depend only on the journal. After a crash, the file is truncated to the length
in the cursor (the record of what was replayed) and continued, so no step occurs twice. The new
bytes equal the truncated ones, so a reader that read those before the crash can continue too.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from core.export.tracking.entries import CheckpointReference, Entry, Point, Sample, Status
from core.export.tracking.replay import State
from core.storage.rundir import RunDir

FILE = "events.out.tfevents.0000000001.babylm"
"""Name of the file. TensorBoard finds event files by `tfevents` and orders them by the number."""
VERSION = "brain.Event:2"


class TensorBoardFile:
    """The event file of a run, open for appending."""

    def __init__(self, rundir: RunDir, state: State) -> None:
        rundir.tensorboard.mkdir(parents=True, exist_ok=True)
        path = rundir.tensorboard / FILE
        length = int(state.get("bytes", 0)) if path.exists() else 0
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)
        self._records = RecordWriter(self._file)
        self._config = _config_text(rundir.spec) if length == 0 else None

    def write(self, entries: Sequence[Entry]) -> None:
        """Appends records. The first entry of a file is preceded by the version and the spec."""
        if self._config is not None and entries:
            moment = entries[0].time.timestamp()
            self._records.write(Event(wall_time=moment, file_version=VERSION).SerializeToString())
            self._append(entries[0], 0, [_text("config", self._config)])
            self._config = None
        for entry in entries:
            self._append(entry, entry.step, _values(entry))

    def flush(self) -> State:
        """Syncs the file to disk; the state is the length of the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"bytes": self._file.tell()}

    def close(self, status: Status) -> None:
        """Closes the file. Ignores the status, because TensorBoard has no status of runs."""
        del status
        self._file.close()

    def _append(self, entry: Entry, step: int, values: list[Summary.Value]) -> None:
        event = Event(wall_time=entry.time.timestamp(), step=step, summary=Summary(value=values))
        self._records.write(event.SerializeToString())


def _values(entry: Entry) -> list[Summary.Value]:
    match entry:
        case Point(values=values):
            return [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        case Sample(prompt=prompt, text=text):
            return [_text(f"sample/{prompt or 'no prompt'}", _code(text))]
        case CheckpointReference(name=name, kind=kind, action=action):
            return [_text("checkpoint", f"checkpoints/{name} ({kind}) {action}")]


def _text(tag: str, text: str) -> Summary.Value:
    """A value of TensorBoard's text plugin, which renders Markdown."""
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[text.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)


def _config_text(spec: Path) -> str:
    return _code(spec.read_text(encoding="utf-8"))


def _code(text: str) -> str:
    """The text as a block of code in Markdown."""
    return "".join(f"    {line}\n" for line in text.splitlines())
