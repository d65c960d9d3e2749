import json
import subprocess
import sys

import pytest

from core.corpus.sources import find_source_files
from core.corpus.stage import clean_fingerprint
from core.short import RequestHandler
from core.spec.corpus import CleanOptions
from core.spec.job import TokenizerSpec
from core.storage.cache import Cache
from core.tokenizer.bpe import train_bpe


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "data" / "words"
    folder.mkdir(parents=True)
    (folder / "childes.train").write_text("*MOT:\tyou want it .\n%mor:\tpro\n" * 50)
    return folder


@pytest.fixture
def tokenizer_dir(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the dog sees the dogs\n" * 50)
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    train_bpe(
        [text],
        spec=TokenizerSpec(vocab_size=270),
        output=folder,
        progress=lambda _: None,
        should_stop=lambda: False,
    )
    return folder


def ask(handler: RequestHandler, **request) -> dict:
    answer = handler.answer(json.dumps({"id": "7", **request}))
    assert answer["id"] == "7"
    return answer


def clean(handler: RequestHandler, dataset, tmp_path, **options) -> dict:
    request = {"kind": "clean_report", "slice_seconds": 0.2, "state": None} | options
    while True:
        answer = ask(
            handler, dataset_dir=str(dataset), cache_dir=str(tmp_path / "cache"), **request
        )
        if "state" not in answer:
            return answer
        assert 0.0 <= answer["progress"] <= 1.0
        request["state"] = answer["state"]


def test_a_report_leaves_the_clean_text_where_a_run_looks_for_it(dataset, tmp_path):
    report = clean(RequestHandler(), dataset, tmp_path)["report"]
    assert report["sources"]["childes"]["words_out"] == 150
    assert sum(each["count"] for each in report["sources"]["childes"]["dropped"].values()) >= 50
    cache = Cache(tmp_path / "cache")
    key = clean_fingerprint(find_source_files(dataset), CleanOptions(), cache)
    entry = cache.get("clean", key, lambda _: pytest.fail("not there"))
    assert entry.cached
    assert json.loads((entry.path / "report.json").read_text()) == report


def test_a_run_finds_what_was_cleaned_for_a_report(dataset, tmp_path):
    from core.events.journal import JournalWriter
    from core.pipeline import run_pipeline
    from core.process.stop import StopSignal
    from core.spec.job import JobSpec
    from core.stages.context import Run
    from core.storage.rundir import RunDir

    clean(RequestHandler(), dataset, tmp_path)
    spec = {
        "task": "tokenizer",
        "data": {"dataset": "words", "validation": None},
        "tokenizer": {"vocab_size": 260},
    }
    rundir = RunDir(tmp_path / "run")
    rundir.root.mkdir()
    with JournalWriter(rundir.journal) as journal:
        run_pipeline(
            Run(
                spec=JobSpec.model_validate(spec).resolve(),
                rundir=rundir,
                data_dir=dataset.parent,
                cache=Cache(tmp_path / "cache"),
                journal=journal,
                stop=StopSignal(),
            )
        )
    events = [json.loads(line) for line in rundir.journal.read_text().splitlines()]
    ended = [
        event["data"]
        for event in events
        if event["type"] == "stage" and event["data"]["state"] == "finished"
    ]
    assert (ended[0]["stage"], ended[0]["cached"]) == ("clean", True)


def test_a_dataset_that_cannot_be_cleaned_says_why_without_a_path(dataset, tmp_path):
    (dataset / "gutenberg.train").write_bytes(b"good\n\xff\n")
    handler = RequestHandler()
    error = clean(handler, dataset, tmp_path)["error"]
    assert error["code"] == "corpus_encoding"
    assert error["message"].startswith("gutenberg.train is not UTF-8: line 2")
    # The corrected dataset is cleaned: the failure is not cached.
    (dataset / "gutenberg.train").write_text("good\n")
    assert "report" in clean(handler, dataset, tmp_path)


def test_a_text_is_split_with_its_characters(tokenizer_dir):
    text = "the dog \N{PILE OF POO} caf\u00e9"
    tokens = ask(RequestHandler(), kind="encode", tokenizer_dir=str(tokenizer_dir), text=text)[
        "tokens"
    ]
    assert tokens[0] == {"id": tokens[0]["id"], "piece": "the", "text": "the", "start": 0, "end": 3}
    assert all(text[each["start"] : each["end"]] == each["text"] for each in tokens)
    assert tokens[-1]["end"] == len(text)
    assert (
        ask(RequestHandler(), kind="encode", tokenizer_dir=str(tokenizer_dir), text="")["tokens"]
        == []
    )


def test_a_tokenizer_that_does_not_exist_is_an_answer(tmp_path):
    error = ask(RequestHandler(), kind="encode", tokenizer_dir=str(tmp_path), text="a")["error"]
    assert error["code"] == "checkpoint_missing"


@pytest.mark.parametrize("kind", ["generate", "evaluate"])
def test_a_checkpoint_that_does_not_exist_is_an_answer(tmp_path, kind):
    more = {"prompt": "a"}
    if kind == "evaluate":
        predictions = str(tmp_path / "predictions.json")
        more = {
            "task_dir": str(tmp_path),
            "predictions_file": predictions,
            "slice_seconds": 1.0,
        }
    error = ask(RequestHandler(), kind=kind, checkpoint_dir=str(tmp_path / "last"), **more)["error"]
    assert error["code"] == "checkpoint_missing"
    assert str(tmp_path) not in error["message"]


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "7"}', '{"id": "7", "kind": "rm"}', "\ud800"])
def test_a_request_of_no_use_is_an_answer(line):
    assert RequestHandler().answer(line)["error"]["code"] == "request_invalid"


def test_the_program_is_light_until_it_is_asked_for_more(tokenizer_dir):
    # In a new process, because this one has already loaded the modules.
    code = (
        "import sys, io, json\n"
        "from core.short import serve\n"
        "out = io.StringIO()\n"
        f"request = {{'id': '1', 'kind': 'encode', 'tokenizer_dir': {str(tokenizer_dir)!r}, "
        "'text': 'the dog'}\n"
        "serve(io.StringIO(json.dumps(request) + '\\n\\n'), out)\n"
        "assert len(out.getvalue().splitlines()) == 1 and 'tokens' in json.loads(out.getvalue())\n"
        "print(sorted({'torch', 'transformers', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
