// Tokenizers: those that jobs have trained, how well each fits, and how it splits any text.

import { get, poll, post } from "/static/api.js";
import { button, card, el, numbers, put, putIfChanged, table } from "/static/dom.js";
import { exact, fixed, percent, when } from "/static/format.js";

const LOOK_MILLISECONDS = 5000;
const TYPING_MILLISECONDS = 300;
const SENTENCE = "The neighbours' children couldn't stop laughing at the extraordinarily small dog.";

export async function show({ page, signal, connection }, chosen) {
  document.title = "Tokenizers – BabyLM";
  const list = el("div");
  const splits = el("div");
  put(page, el("div", { class: "page-head" }, el("div", {}, el("h1", {}, "Tokenizers"), el("p", {}, "Each job learns one from its text; jobs over the same text share it.")), trainButton()),
    el("div", { class: "stack" }, splits, list));
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

function trainButton() {
  return el("a", { class: "button", href: "#/new" }, "New job");
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
