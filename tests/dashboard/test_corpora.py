import json
import re
import shutil

from playwright.sync_api import expect

from core.sample import write_sample
from tests.dashboard.conftest import TORCH_MILLISECONDS

TEXT = "The dog runs to the house.\n" * 400


def test_a_corpus_is_uploaded_looked_at_and_deleted(tab, service, tmp_path):
    (tmp_path / "childes.train").write_text("*CHI:\tthe dog runs .\n" * 200)
    (tmp_path / "notes.txt").write_text(TEXT)
    page = tab.open("#/corpora")
    page.get_by_label("Name").fill("my-own")
    page.get_by_label("Files to upload").set_input_files(
        [tmp_path / "childes.train", tmp_path / "notes.txt"]
    )
    expect(page.get_by_role("heading", level=1, name="my-own")).to_be_visible()
    words = page.get_by_role("region", name="Words by source")
    expect(words.get_by_role("meter", name="notes.txt")).to_have_attribute("value", "2400")
    cleaning = page.get_by_role("region", name="What cleaning drops, and why")
    expect(cleaning.get_by_role("table", name="Cleaning by source")).to_be_visible()
    lengths = page.get_by_role("region", name="Lengths of documents")
    notes = "notes: 1 document, 2,400 words on average; most have 2,048 to 4,095 words"
    expect(lengths.get_by_role("img", name=notes)).to_be_visible()
    lines = page.get_by_role("region", name="Lines, before and after cleaning")
    expect(lines.get_by_text("*CHI:\tthe dog runs .").first).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(tab.home + "#/corpora")
    assert service.http.get("/v1/datasets/my-own").status_code == 404


def test_an_upload_continues_where_it_was_interrupted(tab, service, tmp_path):
    file = tmp_path / "broken.txt"
    file.write_text(TEXT)
    data = file.read_bytes()
    begun = service.http.post(
        "/v1/datasets/resumed/files?name=broken.txt",
        content=data[:5000],
        headers={"Content-Range": f"bytes 0-4999/{len(data)}"},
    )
    assert begun.status_code == 202, begun.text
    ranges = []
    tab.page.on(
        "request",
        lambda sent: (
            ranges.append(sent.headers.get("content-range")) if "/files" in sent.url else 0
        ),
    )
    page = tab.open("#/corpora")
    page.get_by_label("Name").fill("resumed")
    page.get_by_label("Files to upload").set_input_files(file)
    expect(page.get_by_role("heading", level=1, name="resumed")).to_be_visible()
    assert ranges == [f"bytes 5000-{len(data) - 1}/{len(data)}"]
    assert (service.runs_dir.parent / "data" / "resumed" / "broken.txt").read_bytes() == data


def test_an_empty_file_is_refused_for_its_content(tab, tmp_path):
    (tmp_path / "empty.txt").touch()
    tab.may_complain = True  # the browser logs the answer of 422
    page = tab.open("#/corpora")
    page.get_by_label("Name").fill("of-nothing")
    page.get_by_label("Files to upload").set_input_files(tmp_path / "empty.txt")
    expect(page.get_by_role("alert")).to_have_text("empty.txt contains no text")


def test_a_corpus_without_a_name_is_refused_in_words(tab, tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    page = tab.open("#/corpora")
    page.get_by_label("Files to upload").set_input_files(tmp_path / "a.txt")
    expect(page.get_by_text("Give the corpus a name first")).to_be_visible()


def test_a_tokenizer_shows_how_it_splits_a_text(tab, finished):
    page = tab.open("#/tokenizers")
    tokens = page.get_by_role("list", name="Tokens")
    expect(tokens.get_by_role("listitem").first).to_be_visible()
    page.get_by_label("Text", exact=True).fill("The dog, the dog")
    expect(tokens).to_have_text("The·dog,·the·dog")
    table = page.get_by_role("table", name="Tokenizers, newest first")
    expect(table.get_by_role("row", name=finished[0]["name"]).first).to_contain_text("512")


def test_a_tokenizer_is_trained_alone_and_compared_with_another(tab, service, finished):
    held_out = service.runs_dir.parent / "data" / "dev"
    held_out.mkdir()
    (held_out / "childes.dev").write_text("the first dataset by name\n")
    page = tab.open("#/tokenizers")
    form = page.get_by_role("region", name="Train only a tokenizer")
    expect(form.get_by_role("combobox", name=re.compile("^Corpus"))).not_to_have_value("dev")
    shutil.rmtree(held_out)
    form.get_by_role("combobox", name=re.compile("^Corpus")).select_option("sample")
    expect(form.get_by_label("Validation corpus")).to_have_value("sample_dev")
    form.get_by_label("Vocabulary size").fill("3")
    tab.may_complain = True  # the browser logs the refusal
    form.get_by_role("button", name="Train").click()
    expect(form.get_by_role("status")).to_contain_text("tokenizer.vocab_size")
    tab.may_complain = False
    form.get_by_label("Vocabulary size").fill("400")
    form.get_by_role("button", name="Train").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tokenizer on sample")
    service.wait(page.url.rpartition("/")[2])
    expect(page.get_by_role("list", name="Stages").get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_role("region", name="Checkpoints")).to_have_count(0)
    page.get_by_role("link", name="Try the tokenizer").click()
    split = page.get_by_role("region", name="How a text is split")
    expect(split.get_by_label("Tokenizer", exact=False).first).to_contain_text(
        "tokenizer on sample (400)"
    )
    expect(split.get_by_role("list", name="Tokens").get_by_role("listitem").first).to_be_visible()
    made = service.http.get("/v1/tokenizers").json()["data"][0]
    assert (made["vocab_size"], made["dataset"]) == (400, "sample")
    _check_words_side_by_side(page, service, split, finished[0]["id"], made["job"])


def _check_words_side_by_side(page, service, split, large, small):
    split.get_by_label("Compare with").select_option(large)
    text = "The extraordinarily small dog"
    split.get_by_label("Text", exact=True).fill(text)
    for _ in range(2):
        table = split.get_by_role("table", name="Words by tokenizer")
        expect(table.get_by_role("row")).to_have_count(6)  # the header, four words and the sums
        for number, job in enumerate((small, large), start=1):
            path = f"/v1/tokenizers/{job}/encode"
            tokens = service.http.post(path, json={"text": text}).json()["tokens"]
            inner = [
                each["text"] for each in tokens if 3 < each["end"] <= len("The extraordinarily")
            ]
            shown = table.get_by_role("list", name=f"extraordinarily, tokenizer {number}")
            expect(shown).to_have_text("".join(inner).replace(" ", "·"))
            expect(shown.get_by_role("listitem")).to_have_count(len(inner))
        page.reload()  # the address contains the tokenizers and the text


def test_a_checkpoint_is_evaluated_and_its_score_is_drawn(tab, service, finished, tmp_path):
    write_sample(tmp_path, target_bytes=20_000)
    folder = service.runs_dir.parent / "data" / "evaluations" / "toy"
    folder.mkdir(parents=True)
    for file in sorted((tmp_path / "evaluations" / "minimal_pairs").glob("*.jsonl"))[:2]:
        pairs = file.read_text().splitlines()[:20]
        assert "sentence_good" in json.loads(pairs[0])
        (folder / file.name).write_text("\n".join(pairs) + "\n")
    words = folder.with_name("words")
    words.mkdir()
    (words / "words.json").write_text(json.dumps({"dog": [{"context": "I saw the"}]}))
    page = tab.open(f"#/jobs/{finished[0]['id']}")
    box = page.get_by_role("region", name="Evaluation", exact=True)
    box.get_by_label("Checkpoint").select_option("last")
    box.get_by_label("Task").select_option("toy")
    box.get_by_role("button", name="Evaluate").click()
    row = box.get_by_role("row", name="toy")
    expect(row.locator("b")).to_contain_text("%", timeout=TORCH_MILLISECONDS)
    expect(page.get_by_role("region", name="Evaluation scores over words seen")).to_be_visible()
    # A log-probability is no share: it has a chart of its own, and no percent sign.
    box.get_by_label("Task").select_option("words")
    box.get_by_role("button", name="Evaluate").click()
    expect(page.get_by_role("region", name="Evaluation: words")).to_be_visible()
    expect(page.get_by_role("region", name="Overview")).to_contain_text(
        re.compile(r"words-\d+\.\d\d")
    )


def test_the_system_page_says_who_works_on_what(tab, service):
    page = tab.open("#/system")
    expect(page.get_by_text("worker: ok")).to_be_visible()
    workers = page.get_by_role("region", name="Workers")
    for worker in service.http.get("/v1/workers").json()["data"]:
        expect(workers).to_contain_text(worker["id"])
    expect(page.get_by_role("table", name="Versions")).to_contain_text("torch")
