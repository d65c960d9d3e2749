"""A run keeps its text and tokenizer when the dataset or the cache changes."""

import json
import os
import shutil

import pytest

from core.errors import CorpusChanged, NonFiniteLoss, Stopped
from core.events.journal import JournalWriter, read_journal
from core.events.types import MetricsData, StageData
from core.pipeline import run_pipeline
from core.process.stop import StopSignal
from core.sample import write_sample
from core.spec.job import JobSpec
from core.stages.context import Run
from core.storage.cache import Cache
from core.storage.file_hashes import hash_file
from core.storage.inputs import changed_files
from core.storage.rundir import RunDir
from core.tokenizer.learning import new_tokenizer, new_trainer

SPEC = {
    "data": {"dataset": "sample", "validation": "sample_dev"},
    "tokenizer": {"vocab_size": 400},
    "model": {
        **{"architecture": "olmo2", "hidden_size": 32},
        **{"num_hidden_layers": 1, "num_attention_heads": 2},
    },
    "training": {
        **{"seq_length": 16, "batch_size": 4, "max_steps": 6, "eval_tokens": 64},
        **{"logging_steps": 1, "save_steps": 2, "eval_steps": 3, "learning_rate": 3e-3},
        **{"num_threads": 1, "sample_prompts": []},
    },
}
EDITED = "simple_wiki.train"


class Interrupting(JournalWriter):
    """A journal that pauses, kills or fails the run at its fourth step or at a stage."""

    def __init__(self, path, at, act):
        super().__init__(path)
        self.at, self.act = at, act

    def append(self, data):
        super().append(data)
        is_step = isinstance(data, MetricsData) and "train/loss" in data.values
        is_stage = isinstance(data, StageData) and data.state == "started"
        if (is_step and data.step == self.at) or (is_stage and data.stage == self.at):
            self.act()


class Folder:
    """A run folder with its data and its cache, and methods that run it."""

    def __init__(self, root, corpora):
        self.root, self.data = root, root / "data"
        self.dir = RunDir(root / "jobs" / "one")
        self.cache = root / "cache"
        self.spec = SPEC
        self.dir.root.mkdir(parents=True)
        shutil.copytree(corpora, self.data)

    def go(self, how=None, *, at=4):
        """Runs to the end, or until it is paused, killed or failed."""
        stop = StopSignal()

        def act():
            if how == "paused":
                stop.request("test")
            if how == "killed":
                raise KeyboardInterrupt  # a kill saves no resume point
            if how == "failed":
                raise NonFiniteLoss("for a test")

        with Interrupting(self.dir.journal, at, act) as journal:
            run_pipeline(
                Run(
                    spec=JobSpec.model_validate(self.spec).resolve(),
                    rundir=self.dir,
                    data_dir=self.data,
                    cache=Cache(self.cache),
                    journal=journal,
                    stop=stop,
                )
            )

    def interrupt(self, how="paused", *, at=4):
        ends = {"paused": Stopped, "killed": KeyboardInterrupt, "failed": NonFiniteLoss}
        with pytest.raises(ends[how]):
            self.go(how, at=at)

    def change(self, what):
        dataset = self.data / "sample"
        if what == "added":
            (dataset / "notes.txt").write_text("Zebras zigzag quizzically .\n" * 500)
        if what == "edited":
            path = dataset / EDITED
            path.write_text(path.read_text() + "Zebras zigzag quizzically .\n" * 500)
        if what == "removed":
            (dataset / EDITED).unlink()
        if what == "dataset gone":
            shutil.rmtree(dataset)
        if what == "validation edited":
            path = next((self.data / "sample_dev").iterdir())
            path.write_text(path.read_text() + "Zebras zigzag quizzically .\n" * 500)

    def restore(self, corpora):
        shutil.rmtree(self.data)
        shutil.copytree(corpora, self.data)

    def forget_record(self):
        """Makes the folder look like that of an older version, which wrote no records."""
        self.dir.inputs.unlink()
        for point in self.dir.resume.iterdir():
            state, manifest = point / "state.json", point / "manifest.json"
            fields = json.loads(state.read_text())
            del fields["trained_on"]
            state.write_text(json.dumps(fields))
            entries = json.loads(manifest.read_text())
            entries["state.json"] = {"size": state.stat().st_size, "sha256": hash_file(state)}
            manifest.write_text(json.dumps(entries))

    @property
    def result(self):
        """Hashes of the tokenizer and the last weights, and the validation losses."""
        last = self.dir.checkpoint("last")
        losses = {
            event.data["step"]: event.data["values"]["validation/loss"]
            for event, _ in read_journal(self.dir.journal)
            if event.type == "metrics" and "validation/loss" in event.data["values"]
        }
        return hash_file(last / "tokenizer.json"), hash_file(last / "model.safetensors"), losses


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    write_sample(folder, target_bytes=60_000)
    return folder


@pytest.fixture(scope="module")
def undisturbed(corpora, tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("undisturbed"), corpora)
    folder.go()
    return folder.result


@pytest.fixture
def folder(tmp_path, corpora):
    return Folder(tmp_path, corpora)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("paused", "added"),
        ("paused", "edited"),
        ("paused", "removed"),
        ("paused", "dataset gone"),
        ("paused", "validation edited"),
        ("killed", "added"),
        ("failed", "edited"),
    ],
)
def test_a_run_whose_dataset_was_changed_ends_as_an_undisturbed_one(folder, undisturbed, how, what):
    folder.interrupt(how)
    folder.change(what)
    folder.go()
    assert folder.result == undisturbed


def test_a_run_paused_before_training_keeps_its_text(folder, undisturbed):
    folder.interrupt("killed", at="tokenizer")
    folder.change("edited")
    folder.go()
    assert folder.result == undisturbed


def test_another_run_takes_the_text_as_it_is(folder, undisturbed):
    folder.interrupt()
    folder.change("edited")
    folder.dir = RunDir(folder.dir.root.with_name("two"))
    folder.dir.root.mkdir()
    folder.go()
    assert folder.result != undisturbed


@pytest.mark.parametrize("stages", [("clean",), ("tokenizer", "tokenize"), None])
def test_a_deleted_cache_is_made_again_from_the_same_text(folder, undisturbed, stages):
    folder.interrupt()
    for lost in [folder.cache / stage for stage in stages] if stages else [folder.cache]:
        shutil.rmtree(lost)
    folder.go()
    assert folder.result == undisturbed


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("added", "sample .*added: notes.txt"),
        ("edited", f"sample .*edited: {EDITED}"),
        ("removed", f"sample .*removed: {EDITED}"),
        ("dataset gone", f"sample .*removed: .*{EDITED}"),
        ("validation edited", "sample_dev .*edited: "),
    ],
)
def test_a_deleted_cache_and_another_text_are_refused_by_name(
    folder, corpora, undisturbed, what, named
):
    folder.interrupt()
    shutil.rmtree(folder.cache)
    folder.change(what)
    with pytest.raises(CorpusChanged, match=named) as raised:
        folder.go()
    assert "new job" in raised.value.hint
    folder.restore(corpora)
    folder.go()
    assert folder.result == undisturbed


def test_before_anything_is_trained_a_second_retry_takes_the_new_text(folder, undisturbed):
    folder.interrupt("killed", at="train")
    shutil.rmtree(folder.cache)
    folder.change("edited")
    with pytest.raises(CorpusChanged) as raised:
        folder.go()
    assert "a retry or a new job uses the current text" in raised.value.hint
    folder.go()
    assert folder.result != undisturbed


def test_a_run_that_failed_before_training_reads_the_corrected_dataset(folder, undisturbed):
    folder.change("edited")
    folder.interrupt("failed", at="train")
    folder.data.joinpath("sample", EDITED).write_text("Mended text .\n" * 500)
    folder.go()
    report = json.loads((folder.dir.root / "inputs.json").read_text())
    assert report["files"]["train"][EDITED] == hash_file(folder.data / "sample" / EDITED)
    assert folder.result != undisturbed


def test_a_spec_edited_before_training_is_not_given_the_old_results(folder):
    folder.interrupt("killed", at="train")
    folder.spec = SPEC | {"tokenizer": {"vocab_size": 300}}
    folder.go()
    config = json.loads((folder.dir.checkpoint("last") / "config.json").read_text())
    assert config["vocab_size"] == 300


@pytest.mark.parametrize("how", ["paused", "killed", "failed"])
def test_pruning_keeps_the_results_that_an_unfinished_run_needs(folder, undisturbed, how):
    folder.interrupt(how)
    pruning = Cache(folder.cache)
    assert {info.stage for info in pruning.prune(0)} == {"statistics"}
    kept = [info.stage for info in pruning.entries()]
    assert sorted(kept) == ["clean", "clean", "tokenize", "tokenize", "tokenizer"]
    folder.change("dataset gone")
    folder.go()
    assert folder.result == undisturbed
    pruning.prune(0)
    assert pruning.entries() == []


def test_pruning_drops_the_results_of_a_run_whose_folder_is_gone(folder):
    folder.interrupt()
    folder.dir.root.rename(folder.root / "deleted")
    pruning = Cache(folder.cache)
    pruning.prune(0)
    assert pruning.entries() == []


def test_a_run_of_an_older_version_continues_and_is_recorded(folder, undisturbed):
    folder.interrupt()
    folder.forget_record()
    folder.go()
    assert folder.result == undisturbed
    assert json.loads(folder.dir.inputs.read_text())["tokenizer"]


@pytest.mark.parametrize(
    ("what", "named"), [("added", "added: notes"), ("edited", "edited: simple_wiki")]
)
def test_a_run_of_an_older_version_is_refused_another_text(
    folder, corpora, undisturbed, what, named
):
    folder.interrupt()
    folder.forget_record()
    folder.change(what)
    with pytest.raises(CorpusChanged, match=named):
        folder.go()
    assert not folder.dir.inputs.exists()
    folder.restore(corpora)
    folder.go()
    assert folder.result == undisturbed


def test_a_run_of_an_older_version_is_refused_another_tokenizer_of_as_many_words(folder):
    folder.interrupt()
    folder.forget_record()
    path = folder.data / "sample" / EDITED
    path.write_text(path.read_text().replace("e", "q"))
    with pytest.raises(CorpusChanged, match="the tokenizer of this run has changed"):
        folder.go()


def test_a_run_keeps_the_tokenizer_of_another_job_that_was_trained_again(folder):
    other = RunDir(folder.dir.root.with_name("other"))
    mine, folder.dir = folder.dir, other
    other.root.mkdir()
    folder.spec = SPEC | {"task": "tokenizer"}
    folder.go()
    folder.dir, folder.spec = mine, SPEC | {"tokenizer": {"from_job": "other"}}
    folder.interrupt()
    before = hash_file(mine.tokenizer / "tokenizer.json")
    shutil.rmtree(other.root)
    other.root.mkdir()
    folder.dir, folder.spec = other, SPEC | {"task": "tokenizer", "tokenizer": {"vocab_size": 300}}
    folder.go()
    folder.dir, folder.spec = mine, SPEC | {"tokenizer": {"from_job": "other"}}
    folder.go()
    assert hash_file(mine.checkpoint("last") / "tokenizer.json") == before


def test_a_run_with_an_existing_tokenizer_keeps_it_when_the_file_is_gone(folder):
    tokenizer = new_tokenizer()
    tokenizer.train_from_iterator(["the cat sat"] * 9, trainer=new_trainer(270, 2))
    tokenizer.add_special_tokens(["</s>"])
    file = folder.data / "tokenizers" / "mine" / "tokenizer.json"
    file.parent.mkdir(parents=True)
    tokenizer.save(str(file))
    folder.spec = SPEC | {"tokenizer": {"path": "tokenizers/mine"}}
    folder.interrupt()
    shutil.rmtree(file.parent)
    shutil.rmtree(folder.cache / "tokenizer")
    folder.go()
    counts = {
        event.data["stage"]: event.data["counts"]
        for event, _ in read_journal(folder.dir.journal)
        if event.type == "stage" and event.data["state"] == "finished"
    }
    assert counts["tokenizer"]["vocab_size"] == tokenizer.get_vocab_size() - 1
    assert counts["tokenize"]["train"]["words"] == counts["clean"]["train"]["words"]


def test_a_file_edited_while_it_is_cleaned_is_not_kept_under_its_old_hash(folder, corpora):
    path = folder.data / "sample" / EDITED

    class Editing(StopSignal):
        def __call__(self):
            if path.read_text().count("Zebras") == 0:
                path.write_text(path.read_text() + "Zebras zigzag .\n")
                os.utime(path, (1, 1))
            return super().__call__()

    with JournalWriter(folder.dir.journal) as journal, pytest.raises(CorpusChanged, match="edited"):
        run_pipeline(
            Run(
                spec=JobSpec.model_validate(SPEC).resolve(),
                rundir=folder.dir,
                data_dir=folder.data,
                cache=Cache(folder.cache),
                journal=journal,
                stop=Editing(),
            )
        )
    assert Cache(folder.cache).entries() == []
    folder.go()


def test_changes_are_reported_by_kind_and_long_lists_are_shortened():
    before, now = {"a": "1", "b": "2", "c": "3"}, {"b": "4", "c": "3", "d": "5"}
    assert changed_files(before, now) == "added: d; removed: a; edited: b"
    assert changed_files(before, before) == ""
    many = {f"{number:02}": "" for number in range(12)}
    assert changed_files({}, many).endswith("08, 09 and 2 more")
