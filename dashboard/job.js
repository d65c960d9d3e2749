// One job: everything about it, live. All of it is rebuilt from the API, then followed by events.

import { download, follow, get, post, remove, text } from "/static/api.js";
import { Chart } from "/static/chart.js";
import { bytes, count, el, fixed, put, seconds, when } from "/static/dom.js";
import { facts, statusBadge } from "/static/jobs.js";

const FINAL = ["succeeded", "failed", "cancelled"];
const ACTIONS = { queued: ["pause", "cancel"], running: ["pause", "cancel"], paused: ["resume", "cancel"], failed: ["retry"], cancelled: ["retry"], succeeded: [] };
const SAMPLES_SHOWN = 6;

function charts() {
  const small = (value) => (Math.abs(value) >= 0.01 || value === 0 ? value.toPrecision(3) : value.toExponential(1));
  return [
    new Chart("Loss", [{ name: "train/loss", label: "training", colour: "--accent" }, { name: "validation/loss", label: "validation", colour: "--good", points: true }], (value) => value.toFixed(2)),
    new Chart("Memory", [{ name: "memory/host_rss_bytes", label: "host", colour: "--accent" }, { name: "memory/device_allocated_bytes", label: "device", colour: "--good" }, { name: "memory/device_peak_bytes", label: "device, peak", colour: "--warn" }], bytes),
    new Chart("Throughput", [{ name: "throughput/tokens_per_second", label: "tokens/s", colour: "--accent" }], count),
    new Chart("Learning rate and gradient norm", [{ name: "train/learning_rate", label: "learning rate", colour: "--accent" }, { name: "train/grad_norm", label: "gradient norm", colour: "--good" }], small, { log: true }),
  ];
}

export async function showJob({ page, signal, connection }, id) {
  let job = await get(`/v1/jobs/${id}`);
  document.title = `${job.name} – BabyLM`;
  const head = el("div");
  const graphs = charts();
  signal.addEventListener("abort", () => graphs.forEach((graph) => graph.close()));
  const log = el("pre", { class: "log", tabIndex: 0, "aria-label": "Log" });
  const samples = el("div");
  const checkpoints = el("div", { class: "scroll" });
  const notices = el("div");
  const section = (title, ...body) => el("section", { class: "card" }, el("h2", {}, title), ...body);
  const writer = generateBox(id);
  put(page, head, notices, el("div", { class: "grid" }, graphs.map((graph) => graph.node),
    el("section", { class: "card wide" }, el("h2", {}, "Checkpoints"), checkpoints),
    section("What it writes", samples), section("Let it write", writer),
    el("section", { class: "card wide" }, el("h2", {}, "Log"), log)));

  function drawHead() {
    const values = job.metrics?.values ?? {};
    const act = (action) => el("button", { class: action === "cancel" ? "danger" : "", on: { click: async (click) => {
      click.target.disabled = true;
      try { job = await post(`/v1/jobs/${id}/${action}`); } catch (error) { notice(error.message, true); }
      drawHead();
      if (["retry", "resume"].includes(action)) watch();
    } } }, action);
    const erase = FINAL.includes(job.status) && el("button", { class: "danger", on: { click: async () => {
      if (!window.confirm("Delete this job with all its checkpoints?")) return;
      await remove(`/v1/jobs/${id}`);
      location.hash = "#/";
    } } }, "delete");
    put(head, el("h1", {}, job.name),
      el("div", { class: "bar" }, statusBadge(job), el("span", { class: "facts" }, facts(job).map((fact) => el("span", {}, fact)))),
      el("progress", { max: 1, value: job.progress, "aria-label": "progress" }),
      el("div", { class: "bar" }, ACTIONS[job.status].map(act), erase, el("a", { href: `#/new/${id}` }, "new job like this")),
      el("dl", { class: "numbers card" }, [
        ["validation perplexity", fixed(values["validation/perplexity"], 2)], ["words seen", count(job.metrics?.words_seen)],
        ["tokens seen", count(job.metrics?.tokens_seen)], ["tokens/s", count(values["throughput/tokens_per_second"])],
        ["of the peak", values["throughput/mfu"] === undefined ? "–" : `${Math.round(values["throughput/mfu"] * 100)} %`],
        ["memory", bytes(values["memory/device_allocated_bytes"] ?? values["memory/host_rss_bytes"])],
        [FINAL.includes(job.status) ? "ended" : "left", FINAL.includes(job.status) ? when(job.finished_at) : seconds(job.eta_seconds)],
      ].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      job.error && el("p", { class: "notice error", role: "alert" }, el("b", {}, `${job.error.message} `), job.error.hint));
  }

  function notice(message, isError = false) {
    notices.append(el("p", { class: `notice${isError ? " error" : ""}` }, message));
  }

  function addSample({ step, prompt, text: written }) {
    samples.prepend(el("p", { class: "sample" }, el("b", {}, prompt), written.slice(prompt.length), el("small", {}, `step ${count(step)}`)));
    while (samples.children.length > SAMPLES_SHOWN) samples.lastChild.remove();
  }

  async function drawCheckpoints() {
    const { data } = await get(`/v1/jobs/${id}/checkpoints`);
    put(checkpoints, data.length ? el("table", {}, el("thead", {}, el("tr", {}, ["Name", "Kind", "Step", "Words seen", "Validation loss", "Size", ""].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, [...data].reverse().map((point) => el("tr", {}, [point.name, point.kind, count(point.step), count(point.words_seen), fixed(point.validation_loss), bytes(point.bytes)].map((cell) => el("td", {}, cell)),
        el("td", {}, el("button", { on: { click: () => download(`/v1/jobs/${id}/checkpoints/${point.name}/archive`, `${point.name}.zip`) }, "aria-label": `Download ${point.name}` }, "download")))))) : el("p", { class: "soft" }, "None yet."));
  }

  async function drawLog() {
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    const lines = await text(`/v1/jobs/${id}/logs?tail=300`);
    if (lines !== log.textContent) log.textContent = lines || "Nothing yet.";
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  const series = await get(`/v1/jobs/${id}/metrics?max_points=1000`);
  for (const [name, { step, value }] of Object.entries(series.series)) {
    step.forEach((number, index) => graphs.forEach((graph) => graph.add(number, { [name]: value[index] })));
  }
  const past = await get(`/v1/jobs/${id}/events?after=${Math.max(0, job.last_seq - 200)}`);
  for (const event of past.data) {
    if (event.type === "sample") addSample(event.data);
    if (event.type === "warning") notice(event.data.message);
  }
  graphs.forEach((graph) => graph.draw());
  drawHead();
  await Promise.all([drawCheckpoints(), drawLog()]);
  let seen = past.data.at(-1)?.seq ?? job.last_seq;
  let dirty = false;

  function watch() {
    follow(id, seen, (event) => {
      seen = event.seq;
      dirty = true;
      if (event.type === "metrics") graphs.forEach((graph) => graph.add(event.data.step, event.data.values));
      if (event.type === "sample") addSample(event.data);
      if (event.type === "warning") notice(event.data.message);
      if (event.type === "checkpoint") drawCheckpoints();
    }, { signal, onConnection: connection });
  }

  watch();
  while (!signal.aborted) { // draw at a pace that eyes follow, however fast events come
    if (dirty && !document.hidden) {
      dirty = false;
      try {
        job = await get(`/v1/jobs/${id}`);
        graphs.forEach((graph) => graph.draw());
        drawHead();
        await drawLog();
      } catch { dirty = true; }
    }
    await new Promise((wake) => setTimeout(wake, 700));
  }
}

function generateBox(id) {
  const prompt = el("textarea", { rows: 2, value: "The " });
  const length = el("input", { type: "number", value: 40, min: 1, max: 1000 });
  const temperature = el("input", { type: "number", value: 0.8, min: 0, max: 10, step: 0.1 });
  const seed = el("input", { type: "number", value: 0, min: 0 });
  const out = el("p", { class: "sample", "aria-live": "polite", hidden: true });
  const go = el("button", { class: "primary", type: "submit" }, "Write");
  return el("form", { on: { submit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    out.hidden = false;
    out.textContent = "…";
    try {
      const answer = await post(`/v1/jobs/${id}/checkpoints/last/generate`, { prompt: prompt.value, max_new_tokens: Number(length.value), temperature: Number(temperature.value), seed: Number(seed.value) });
      out.textContent = answer.text;
    } catch (error) {
      out.textContent = error.message;
    }
    go.disabled = false;
  } } }, el("label", {}, "Beginning", prompt), el("div", { class: "fields" }, el("label", {}, "Tokens", length), el("label", {}, "Temperature", temperature), el("label", {}, "Seed", seed)), el("div", { class: "bar" }, go), out);
}
