"""The stages of a run: their results, shared results, and errors."""

import json
import shutil

import pytest

from core.corpus.prepare import check_budget
from core.corpus.report import CleanReport, SourceReport
from core.errors import TokenizerMissing, WordBudgetExceeded
from core.events.journal import JournalWriter, read_journal
from core.pipeline import run_pipeline
from core.process.stop import StopSignal
from core.sample import write_sample
from core.spec.job import JobSpec
from core.stages.context import Run
from core.storage.cache import Cache
from core.storage.dataset_origins import DatasetOrigin, save_origin
from core.storage.inputs import read_record
from core.storage.rundir import RunDir

MODEL = {
    "architecture": "olmo2",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
ORIGIN = DatasetOrigin(
    repository="owner/sample", commit="a" * 40, split="train", files=["childes.train", "none.txt"]
)
TRAINING = {
    **{"seq_length": 16, "batch_size": 4, "max_steps": 2, "eval_tokens": 64},
    **{"num_threads": 1, "sample_prompts": []},
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Data folder with a small sample corpus."""
    folder = tmp_path_factory.mktemp("data")
    write_sample(folder, target_bytes=60_000)
    save_origin(folder / "sample", ORIGIN)
    return folder


@pytest.fixture
def service(tmp_path, corpora):
    """Runs a spec in a new folder with a common cache; returns its stage events."""

    def run(job, **body):
        spec = {
            "data": {"dataset": "sample", "validation": "sample_dev"},
            "tokenizer": {"vocab_size": 400},
            "model": MODEL,
            "training": TRAINING,
        } | body
        rundir = RunDir(tmp_path / "jobs" / job)
        rundir.root.mkdir(parents=True, exist_ok=True)
        with JournalWriter(rundir.journal) as journal:
            run_pipeline(
                Run(
                    spec=JobSpec.model_validate(spec).resolve(),
                    rundir=rundir,
                    data_dir=corpora,
                    cache=Cache(tmp_path / "cache"),
                    journal=journal,
                    stop=StopSignal(),
                )
            )
        return {
            event.data["stage"]: event.data
            for event, _ in read_journal(rundir.journal)
            if event.type == "stage" and event.data["state"] == "finished"
        }

    return run


def tokenizer_bytes(tmp_path, job):
    return (RunDir(tmp_path / "jobs" / job).tokenizer / "tokenizer.json").read_bytes()


def test_a_job_for_a_tokenizer_ends_when_it_is_there_and_measured(service, tmp_path):
    stages = service("one", task="tokenizer")
    assert list(stages) == ["clean", "tokenizer"]
    counts = stages["tokenizer"]["counts"]
    assert counts["vocab_size"] == 400
    assert counts["validation"]["words"] == stages["clean"]["counts"]["validation"]["words"]
    assert 0 <= counts["validation"]["unused_entries"] < 400
    assert tokenizer_bytes(tmp_path, "one")


def test_another_job_takes_that_tokenizer_as_it_is(service, tmp_path):
    service("one", task="tokenizer", tokenizer={"vocab_size": 300})
    stages = service("two", tokenizer={"from_job": "one"})
    assert stages["tokenizer"]["cached"] is True
    assert stages["tokenizer"]["counts"]["vocab_size"] == 300
    assert tokenizer_bytes(tmp_path, "two") == tokenizer_bytes(tmp_path, "one")
    rundir = RunDir(tmp_path / "jobs" / "two")
    config = rundir.checkpoint("last") / "config.json"
    assert json.loads(config.read_bytes())["vocab_size"] == 300
    # The record of the run and its model card name the origin of the text.
    (origin,) = read_record(rundir.inputs).origins["train"]
    assert (origin.commit, origin.files) == (ORIGIN.commit, ["childes.train"])
    card = (rundir.checkpoint("last") / "README.md").read_text()
    assert "datasets: [owner/sample]\n---" in card
    assert f"1 file of the dataset is from [owner/sample]({ORIGIN.address}): commit `a" in card


def test_a_job_with_its_copy_continues_without_the_other_job(service, tmp_path):
    service("one", task="tokenizer")
    service("two", task="tokenizer", tokenizer={"from_job": "one"})
    before = tokenizer_bytes(tmp_path, "two")
    shutil.rmtree(tmp_path / "jobs" / "one")
    service("two", task="tokenizer", tokenizer={"from_job": "one"})
    assert tokenizer_bytes(tmp_path, "two") == before


def test_a_tokenizer_of_a_job_that_has_none_is_an_error_that_names_it(service, tmp_path):
    with pytest.raises(TokenizerMissing, match="job missing has no tokenizer"):
        service("two", tokenizer={"from_job": "missing"})


def test_a_second_job_over_the_same_text_takes_every_result_from_the_cache(service):
    first, second = service("one"), service("two")
    prepared = ("clean", "tokenizer", "tokenize")
    assert [first[name]["cached"] for name in prepared] == [False] * 3
    assert [second[name]["cached"] for name in prepared] == [True] * 3
    for name in prepared:
        assert first[name]["counts"] == second[name]["counts"]


def test_words_of_the_tokens_are_the_words_of_the_text(service):
    stages = service("one")
    for split in ("train", "validation"):
        cleaned, encoded = (stages[name]["counts"][split] for name in ("clean", "tokenize"))
        assert cleaned["words"] == encoded["words"]
        assert cleaned["documents"] == encoded["documents"]


def test_a_run_releases_the_cache_when_it_ends(service, tmp_path):
    service("one", task="tokenizer")
    dropped = Cache(tmp_path / "cache").prune(0)
    assert sorted(info.stage for info in dropped) == ["clean", "clean", "statistics", "tokenizer"]


def test_a_corpus_over_the_budget_of_its_track_is_refused():
    spec = JobSpec.model_validate({"track": "strict-small"})
    check_budget(spec, report_of(words=10_000_000))
    with pytest.raises(WordBudgetExceeded, match="train_10M has 10,000,001 words"):
        check_budget(spec, report_of(words=10_000_001))
    check_budget(JobSpec(), report_of(words=10_000_001))


def report_of(words):
    numbers = dict.fromkeys(
        ("lines_in", "lines_out", "words_in", "bytes_in", "bytes_out", "documents"), 1
    )
    source = SourceReport(source="plain", words_out=words, dropped={}, **numbers)
    return CleanReport(sources={"text": source})


def test_words_that_deduplication_took_out_are_not_in_the_counts(service, corpora):
    repeats = corpora / "repeats"
    if not repeats.is_dir():
        repeats.mkdir()
        text = (corpora / "sample" / "simple_wiki.train").read_text()
        (repeats / "simple_wiki.train").write_text(text + text)
    data = {"dataset": "repeats", "validation": "sample_dev", "sources": ["simple_wiki"]}
    plain = service("one", task="tokenizer", data=data)
    stages = service("two", task="tokenizer", data=data | {"deduplicate": "exact"})
    found = stages["clean"]["counts"]["duplicates"]
    assert found["applied"] == "exact"
    taken = found["exact"]["words"] + found["leaked"]["words"]
    words = [run["clean"]["counts"]["train"]["words"] for run in (plain, stages)]
    assert words[0] // 2 == taken == words[1]
