// What a job leaves behind: checkpoints, evaluations, and text that a checkpoint writes.

import { download, get, post } from "/static/api.js";
import { button, card, copyButton, el, put, putIfChanged, table, told } from "/static/dom.js";
import { bytes, count, fixed, percent, when } from "/static/format.js";

export class Checkpoints {
  constructor(job, signal) {
    this.job = job;
    this.signal = signal;
    this.data = [];
    this.body = el("div");
    this.node = card({ heading: "Checkpoints", wide: true }, this.body);
    this.listeners = [];
  }

  async look() {
    const { data } = await get(`/v1/jobs/${this.job}/checkpoints`, { signal: this.signal });
    this.data = [...data].reverse();
    putIfChanged(this.body, this.data.map(({ name, step }) => [name, step]), () => this.draw());
    for (const listener of this.listeners) listener(this.data);
  }

  downloadButton(point) {
    const node = button("Download", async () => {
      node.disabled = true;
      try {
        await download(`/v1/jobs/${this.job}/checkpoints/${point.name}/archive`, `${this.job.slice(0, 8)}-${point.name}.zip`,
          (received) => { node.textContent = percent(Math.min(1, received / point.bytes)); });
      } finally {
        node.disabled = false;
        node.textContent = "Download";
      }
    }, { "aria-label": `Download ${point.name}`, data: { key: `download ${point.name}` } });
    return node;
  }

  draw() {
    if (!this.data.length) return el("p", { class: "soft" }, "None yet. The first one is saved while it trains.");
    return [
      table(["Name", "Kind", "#Step", "#Words seen", "#Validation loss", "#Size", "Saved", ""], this.data.map((point) => [
        point.name, point.kind, count(point.step), count(point.words_seen), fixed(point.validation_loss), bytes(point.bytes), when(point.created_at),
        this.downloadButton(point),
      ]), { caption: "Checkpoints, newest first", kind: "checkpoints" }),
      el("details", { class: "files" }, el("summary", {}, "Files and checksums"), this.data.map((point) => [
        el("h3", {}, point.name),
        table(["File", "#Size", "SHA-256"], point.files.map((file) => [
          fileLink(`/v1/jobs/${this.job}/checkpoints/${point.name}/files/${file.path}`, file.path),
          bytes(file.size), el("code", {}, file.sha256)]), { caption: `Files of ${point.name}` }),
      ])),
    ];
  }
}

// A link, so that its address can be copied; the click goes the way that can carry a key.
function fileLink(path, name) {
  const follow = told(() => download(path, name));
  return el("a", { href: path, on: { click: (click) => { click.preventDefault(); follow(); } } }, name);
}

const OPTIONS = [
  { name: "max_new_tokens", label: "New tokens", value: 60, min: 1, max: 4096, step: 1 },
  { name: "temperature", label: "Temperature", value: 0.8, min: 0, max: 10, step: 0.1 },
  { name: "top_k", label: "Top k", value: 50, min: 1, max: 1000000, step: 1, optional: true },
  { name: "seed", label: "Seed", value: 0, min: 0, max: 2147483647, step: 1 },
];

export function generateBox(job, checkpoints, { prompt = "The dog" } = {}) {
  const field = el("textarea", { value: prompt, rows: 2, class: "short" });
  const choice = el("select", {}, el("option", { value: "best" }, "best"));
  const inputs = OPTIONS.map((option) => [option, el("input", { type: "number", value: option.value, min: option.min, max: option.max, step: option.step })]);
  const out = el("div", { class: "samples", role: "status", "aria-live": "polite" });
  const write = button("Write", async () => {
    const body = { prompt: field.value };
    for (const [option, input] of inputs) body[option.name] = input.value === "" && option.optional ? null : Number(input.value);
    write.disabled = true;
    write.textContent = "Writing…";
    try {
      const answer = await post(`/v1/jobs/${job}/checkpoints/${choice.value}/generate`, body);
      out.prepend(sampleNode({ prompt: body.prompt, text: answer.text }, `${answer.checkpoint}, temperature ${body.temperature}, seed ${body.seed}`));
    } catch (error) {
      const faults = error.problem?.errors?.map(({ field: name, message }) => `${name}: ${message}`).join("; ");
      out.prepend(el("p", { class: "notice error" }, faults ?? error.message));
    }
    write.disabled = false;
    write.textContent = "Write";
  }, { class: "primary", disabled: true });
  checkpoints.listeners.push((data) => {
    const kept = choice.value;
    putIfChanged(choice, data.map(({ name }) => name), () => data.map(({ name }) => el("option", { value: name }, name)));
    if (data.some(({ name }) => name === kept)) choice.value = kept;
    else if (data.some(({ name }) => name === "best")) choice.value = "best";
    if (write.textContent === "Write") write.disabled = !data.length;
  });
  const none = el("p", { class: "soft" }, "It can write here as soon as its first checkpoint is saved.");
  const form = el("div", { hidden: true }, el("label", {}, "Beginning", field), el("div", { class: "fields close" },
    el("label", {}, "Checkpoint", choice), inputs.map(([option, input]) => el("label", {}, option.label, input))),
  el("div", { class: "bar end" }, write));
  checkpoints.listeners.push(({ length }) => { none.hidden = length > 0; form.hidden = !length; });
  return card("Let it write", none, form, out);
}

export function sampleNode({ prompt, text }, note) {
  // The tokenizer may write the beginning a little differently; then all of it is shown as it is.
  const rest = text.startsWith(prompt) ? [el("b", {}, prompt), text.slice(prompt.length)] : [text];
  return el("p", { class: "sample" }, rest, el("small", {}, note));
}

export function specCard(job, text) {
  return card({ heading: "Spec", wide: true, actions: [copyButton(() => text), el("a", { class: "button", href: `#/new/${job.id}` }, "New job like this")] },
    el("details", {}, el("summary", {}, "Show it as YAML"), el("pre", { class: "code", tabIndex: 0 }, text)));
}
