// The corpora: what there is, sending more, and one of them in full.

import { get, poll, remove } from "/static/api.js";
import { ask, button, card, el, numbers, put, putIfChanged, table } from "/static/dom.js";
import { bytes, count, exact, percent } from "/static/format.js";
import { linesNode } from "/static/preview.js";
import { upload } from "/static/upload.js";

const LOOK_MILLISECONDS = 3000;
const EXAMPLES = 3;

export async function show(context, name) {
  if (name) await showOne(context, name);
  else await showAll(context);
}

async function showAll({ page, signal, connection }) {
  document.title = "Corpora – BabyLM";
  const list = el("div", { class: "grid" });
  const name = el("input", { type: "text", placeholder: "my-corpus", autocomplete: "off", spellcheck: false, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" });
  put(page, el("div", { class: "page-head" }, el("div", {}, el("h1", {}, "Corpora"), el("p", {}, "Folders of text that jobs train on and are judged by."))), list,
    el("div", { class: "below" }, card("A new corpus", el("div", { class: "fields" }, el("label", {}, "Name", name)), el("div", { class: "below" }, uploadBox(() => name.value.trim(), signal, (done) => { location.hash = `#/corpora/${encodeURIComponent(done)}`; })))));
  await poll(async () => {
    const { data } = await get("/v1/datasets", { signal });
    putIfChanged(list, data, () => data.length ? data.map((corpus) => el("a", { class: "card corpus", href: `#/corpora/${encodeURIComponent(corpus.name)}`, data: { key: corpus.name } },
      el("h2", {}, corpus.name), numbers([["Words", wordsOf(corpus)], ["Size", bytes(corpus.bytes)], ["Files", exact(corpus.sources.length)]]), el("p", { class: "soft small" }, corpus.sources.slice(0, 8).join(" · "), corpus.sources.length > 8 ? " …" : "")))
      : el("div", { class: "card empty wide" }, el("h2", {}, "No corpus yet"), el("p", { class: "soft" }, "Send text files below, or put a folder of them into the data directory.")));
  }, { signal, onConnection: connection, milliseconds: LOOK_MILLISECONDS });
}

function wordsOf({ words, is_words_exact: isExact }) {
  return isExact === false ? `≈ ${count(words)}` : count(words);
}

async function showOne({ page, signal, connection }, name) {
  document.title = `${name} – BabyLM`;
  const path = `/v1/datasets/${encodeURIComponent(name)}`;
  const head = el("div");
  const sources = el("div");
  const cleaning = el("div");
  const lines = el("div");
  const erase = button("Delete", async () => {
    if (!await ask(`Delete ${name}?`, { detail: "All its files go. Jobs that have ended keep their checkpoints.", confirm: "Delete", danger: true })) return;
    await remove(path);
    location.hash = "#/corpora";
  }, { class: "danger" });
  put(page, el("div", { class: "page-head" }, el("div", {}, el("h1", {}, name), el("p", {}, el("a", { href: "#/corpora" }, "All corpora"))), el("div", { class: "bar" }, erase)),
    el("div", { class: "stack" }, head, sources, cleaning, lines, card("Add files", uploadBox(() => name, signal, () => look().catch(() => {})))));

  async function look() {
    const corpus = await get(path, { signal });
    if (signal.aborted) return;
    const state = [corpus.words, corpus.bytes, corpus.files.length, corpus.cleaning];
    putIfChanged(head, state, () => el("section", { class: "card", "aria-label": "Size" }, numbers([
      ["Words", wordsOf(corpus), exact(corpus.words)], ["Size", bytes(corpus.bytes)], ["Files", exact(corpus.files.length)],
      corpus.cleaning && ["Words after cleaning", corpus.cleaning.words === null ? "counting…" : count(corpus.cleaning.words), exact(corpus.cleaning.words)],
      corpus.cleaning?.words != null && ["Kept", percent(corpus.cleaning.words / corpus.words, 1)]])));
    putIfChanged(sources, state, () => wordsCard(corpus, path, look));
    putIfChanged(cleaning, state, () => cleaningCard(corpus));
    putIfChanged(lines, [corpus.files.map((file) => [file.name, file.bytes])], () => card("Lines, before and after cleaning",
      corpus.files.map((file, index) => el("details", { open: index === 0 }, el("summary", {}, file.name), linesNode(file.preview)))));
  }

  await poll(look, { signal, onConnection: connection, milliseconds: LOOK_MILLISECONDS });
}

function wordsCard(corpus, path, look) {
  const most = Math.max(1, ...corpus.files.map(({ words }) => words));
  return card("Words by source", el("div", { class: "bars" }, corpus.files.flatMap((file) => [
    el("span", {}, file.name),
    el("meter", { min: 0, max: most, value: file.words, "aria-label": `${file.name}: ${exact(file.words)} words` }),
    el("span", { class: "bar" }, el("span", { class: "soft" }, `${exact(file.words)} words · ${bytes(file.bytes)}`),
      corpus.files.length > 1 && button("Remove", async () => {
        if (!await ask(`Remove ${file.name}?`, { confirm: "Remove", danger: true })) return;
        await remove(`${path}/files/${encodeURIComponent(file.name)}`);
        await look();
      }, { class: "quiet", "aria-label": `Remove ${file.name}`, data: { key: file.name } })),
  ])));
}

function cleaningCard({ cleaning }) {
  if (!cleaning) return null;
  const sources = Object.entries(cleaning.sources);
  if (!sources.length) {
    const failed = cleaning.status === "failed";
    return card("What cleaning drops, and why", failed ? el("p", { class: "notice error" }, el("b", {}, cleaning.error?.message), cleaning.error?.hint)
      : [el("p", { class: "soft" }, "The whole corpus is being cleaned; this needs no waiting for."), el("progress", { max: 1, value: cleaning.progress || undefined, "aria-label": "Cleaning" })]);
  }
  return card("What cleaning drops, and why", table(["Source", "#Lines", "#Lines kept", "#Words", "#Words kept", "#Kept"], sources.map(([stem, source]) => [
    stem, exact(source.lines_in), exact(source.lines_out), exact(source.words_in), exact(source.words_out), percent(source.words_in ? source.words_out / source.words_in : 1, 1)]), { caption: "Cleaning by source" }),
  sources.map(([stem, source]) => {
    const rules = Object.entries(source.dropped).sort((a, b) => b[1].count - a[1].count);
    return rules.length > 0 && el("details", {}, el("summary", {}, `${stem}: ${rules.length} rule${rules.length === 1 ? "" : "s"}`),
      table(["Rule", "#Times", "Examples"], rules.map(([rule, { count: times, examples }]) => [rule.replaceAll("_", " "), exact(times),
        el("div", { class: "examples" }, examples.slice(0, EXAMPLES).map((example) => el("code", {}, example)))]), { caption: `What was dropped from ${stem}` }));
  }));
}

function uploadBox(datasetName, signal, onDone) {
  const input = el("input", { type: "file", multiple: true, class: "hidden", "aria-label": "Files to send", on: { change: () => { sendAll([...input.files]); input.value = ""; } } });
  const list = el("div", { class: "stack uploads", role: "status" });
  const drop = el("div", { class: "drop" }, el("p", {}, "Drop text files here, or a zip or tar of them."), button("Choose files", () => input.click()), input);
  const over = (isOver) => (event) => { event.preventDefault(); drop.classList.toggle("over", isOver); };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => { over(false)(event); sendAll([...event.dataTransfer.files]); });

  async function sendAll(files) {
    const dataset = datasetName();
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(dataset)) {
      put(list, el("p", { class: "notice error", role: "alert" }, "Give the corpus a name first: letters, digits, '.', '_' and '-'."));
      return;
    }
    put(list);
    let isWhole = true;
    for (const file of files) isWhole = (await sendOne(dataset, file)) && isWhole;
    if (isWhole && files.length && !signal.aborted) onDone(dataset);
  }

  async function sendOne(dataset, file, replace = false) {
    const bar = el("progress", { max: file.size, value: 0, "aria-label": `Sending ${file.name}` });
    const said = el("span", { class: "soft" }, "waiting");
    const row = el("div", {}, el("div", { class: "bar spread small" }, el("span", {}, file.name), said), bar);
    list.append(row);
    try {
      const { files } = await upload(dataset, file, { signal, replace, onProgress: (sent) => { bar.value = sent; said.textContent = `${bytes(sent)} of ${bytes(file.size)}`; } });
      bar.value = file.size;
      bar.className = "succeeded";
      said.textContent = `${bytes(file.size)}, ${files.length === 1 ? "done" : `${files.length} files`}`;
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      bar.className = "failed";
      said.textContent = "not sent";
      row.append(el("p", { class: "notice error", role: "alert" }, error.message, " ",
        button(error.problem?.status === 409 ? "Replace it" : "Try again", async () => { row.remove(); if (await sendOne(dataset, file, error.problem?.status === 409)) onDone(dataset); })));
      return false;
    }
  }

  return [drop, list];
}
