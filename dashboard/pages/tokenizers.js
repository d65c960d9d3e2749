// Tokenizers: those that jobs have trained, how well each fits, and how it splits any text.

import { get, poll, post } from "/static/api.js";
import { button, card, el, numbers, put, putIfChanged, table } from "/static/dom.js";
import { exact, fixed, percent, when } from "/static/format.js";

const LOOK_MILLISECONDS = 5000;
const TYPING_MILLISECONDS = 300;
const VOCABULARY = 8000;
const SENTENCE = "The neighbours' children couldn't stop laughing at the extraordinarily small dog.";

export async function show({ page, signal, connection }, chosen) {
  document.title = "Tokenizers – BabyLM";
  const list = el("div");
  const splits = el("div");
  put(page, el("div", { class: "page-head" }, el("div", {}, el("h1", {}, "Tokenizers"), el("p", {}, "Each job learns one from its text; jobs over the same text share it."))),
    el("div", { class: "stack" }, splits, list, await trainCard(signal)));
  await poll(async () => {
    const { data } = await get("/v1/tokenizers?limit=100", { signal });
    if (signal.aborted) return;
    putIfChanged(splits, data.map(({ job, name }) => [job, name]), () => data.length ? splitCard(data, chosen, signal) : null);
    putIfChanged(list, data, () => card("All tokenizers", table(["Tokenizer", "Corpus", "#Vocabulary", "#Tokens a word", "#Bytes a token", "#Bytes a word", "#Unused entries", "Made"], data.map((one) => [
      el("a", { href: `#/jobs/${one.job}` }, one.name), one.dataset, exact(one.vocab_size), fixed(one.validation?.tokens_per_word, 3), fixed(one.validation?.bytes_per_token, 2), fixed(one.validation?.bytes_per_word, 2),
      one.validation ? `${exact(one.validation.unused_entries)} (${percent(one.validation.unused_entries / one.vocab_size)})` : "–", when(one.created_at)]),
    { caption: "Tokenizers, newest first", empty: "None yet: a job's tokenizer appears here when it has been trained." })));
  }, { signal, onConnection: connection, milliseconds: LOOK_MILLISECONDS });
}

// Training one alone, as a job: the way to it is short, every other option is on the page of a new job.
async function trainCard(signal) {
  const { data } = await get("/v1/datasets", { signal });
  const names = data.map(({ name }) => name);
  const corpus = el("select", {}, names.map((name) => el("option", { value: name }, name)));
  const validation = el("select", {}, el("option", { value: "" }, "none"), names.map((name) => el("option", { value: name }, name)));
  const size = el("input", { type: "number", value: VOCABULARY, min: 1, step: 1 });
  const said = el("div", { role: "status" });
  const chooseValidation = () => { validation.value = [`${corpus.value}_dev`, "dev"].find((name) => names.includes(name)) ?? ""; };
  corpus.addEventListener("change", chooseValidation);
  chooseValidation();
  const train = button("Train", async () => {
    put(said);
    train.disabled = true;
    try {
      const body = { data: { dataset: corpus.value, validation: validation.value || null }, tokenizer: { vocab_size: Number(size.value) } };
      const job = await post("/v1/tokenizers", body, { signal });
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      const faults = error.problem?.errors?.map(({ field, message }) => `${field}: ${message}`).join("; ");
      put(said, el("p", { class: "notice error" }, faults || error.message));
    } finally {
      train.disabled = false;
    }
  }, { class: "primary" });
  return card("Train a tokenizer alone", names.length
    ? [el("div", { class: "task" }, el("label", {}, "Corpus", corpus), el("label", {}, "Measured on", validation), el("label", {}, "Vocabulary size", size), train), said,
      el("p", { class: "soft small" }, "Jobs then name it as ", el("code", {}, "tokenizer.from_job"), " and share its vocabulary.")]
    : el("p", { class: "soft" }, "A corpus is needed first: ", el("a", { href: "#/corpora" }, "send one"), "."));
}

function splitCard(tokenizers, chosen, signal) {
  const first = tokenizers.some(({ job }) => job === chosen) ? chosen : tokenizers[0].job;
  const choice = el("select", {}, tokenizers.map(({ job, name, vocab_size: size }) => el("option", { value: job, selected: job === first }, `${name} (${exact(size)})`)));
  const text = el("textarea", { value: SENTENCE, rows: 3, maxLength: 20000, spellcheck: false });
  const out = el("div", { role: "status" });
  let timer;
  let asked = 0;
  async function split() {
    asked += 1;
    const mine = asked;
    try {
      const { tokens } = await post(`/v1/tokenizers/${choice.value}/encode`, { text: text.value }, { signal });
      if (mine === asked) put(out, tokensNode(tokens, text.value));
    } catch (error) {
      if (mine === asked && !signal.aborted) put(out, el("p", { class: "notice error" }, error.message, " ", button("Try again", split)));
    }
  }
  text.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(split, TYPING_MILLISECONDS); });
  choice.addEventListener("change", split);
  split();
  return card("How a text is split", el("div", { class: "stack" }, el("label", {}, "Tokenizer", choice), el("label", {}, "Text", text), out));
}

function tokensNode(tokens, text) {
  const words = text.split(/\s+/).filter(Boolean).length;
  const size = new TextEncoder().encode(text).length;
  return [
    numbers([["Tokens", exact(tokens.length)], ["Words", exact(words)], ["Tokens a word", words ? fixed(tokens.length / words, 2) : "–"], ["Bytes a token", tokens.length ? fixed(size / tokens.length, 2) : "–"]]),
    el("div", { class: "tokens below", "aria-label": "Tokens", role: "list" }, tokens.map(({ id, piece, text: part }) => el("span", { role: "listitem", title: `id ${id}, entry ${piece}` }, visible(part || piece)))),
  ];
}

// Spaces and line breaks at the edge of a token are part of it.
function visible(text) {
  return text.replaceAll("\n", "⏎").replaceAll(" ", "·");
}
