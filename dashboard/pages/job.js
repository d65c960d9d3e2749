// One job: everything about it, live. All of it is built from the API, then followed by events, so that
// a reload, a sleep or a lost connection changes nothing but the moment.

import { follow, get } from "/static/api.js";
import { announce, ask, button, card, el, numbers, put, putIfChanged } from "/static/dom.js";
import { bytes, count, duration, exact, fixed, percent, seconds, when } from "/static/format.js";
import { act, ACTIONS, erase, isFinal, memoryOf, progressBar, standing, statusBadge, timeLeft } from "/static/jobfacts.js";
import { Charts } from "/static/charts.js";
import { Log } from "/static/joblog.js";
import { Evaluations } from "/static/evaluations.js";
import { Checkpoints, generateBox, sampleNode, specCard } from "/static/jobresults.js";
import { Series } from "/static/series.js";
import { Stages } from "/static/stages.js";
import { yaml } from "/static/yaml.js";

const KEPT_EVENTS = "status,stage,sample,evaluation,warning,error";
const SAMPLES_SHOWN = 40;
const LOOK_MILLISECONDS = 1000;
const TICK_MILLISECONDS = 5000;
const REQUESTS = 4;
const LONG_STEPS = 10000;
const FIRST_POINTS = 150;
const DETAIL_POINTS = 1500;

export async function show({ page, signal, connection }, id) {
  const path = `/v1/jobs/${id}`;
  let job = await get(path, { signal });
  const series = new Series();
  const stages = new Stages();
  const warnings = new Map();
  const head = el("div", { class: "page-head" });
  const notices = el("div", { role: "status" });
  const facts = el("div");
  const stageList = el("div");
  const samples = el("div", { class: "samples" }, el("p", { class: "soft" }, "Samples appear here while it trains."));
  const corpus = el("div", { class: "wide" });
  const checkpoints = new Checkpoints(id, signal);
  const evaluations = new Evaluations(id, checkpoints, { signal, onScore: readAgain });
  const charts = new Charts({ onRange: lookCloser });
  const runs = [{ id, label: job.name, series }];
  const log = new Log(id, signal);
  signal.addEventListener("abort", () => charts.close());
  const hasModel = job.spec.task !== "tokenizer"; // or else it ends with its tokenizer
  put(page, head, notices, el("section", { class: "card", "aria-label": "Where it stands" }, facts, stageList), hasModel && charts.node,
    el("div", { class: "stack below" }, hasModel && [checkpoints.node, evaluations.node,
      el("div", { class: "halves" }, card("What it writes while it learns", samples), generateBox(id, checkpoints, { prompt: job.spec.training?.sample_prompts?.[0] ?? "The dog" }))],
    corpus, log.node, specCard(job, yaml(job.spec))));
  charts.draw(runs);

  function drawHead() {
    document.title = `${job.status === "running" && job.progress ? `${percent(job.progress)} ` : ""}${job.name} – BabyLM`;
    putIfChanged(head, [job.name, job.status, job.cancel_requested_at, job.pause_requested_at, job.waiting_for, job.worker], () => [
      el("div", {}, el("h1", {}, job.name),
        el("p", { class: "bar facts" }, statusBadge(job), job.waiting_for && el("span", {}, standing(job)), el("span", {}, `${hasModel ? job.spec.model.architecture : "tokenizer"} on ${job.spec.data.dataset}`), el("span", {}, `submitted ${when(job.created_at)}`), job.worker && job.status === "running" && el("span", {}, `on ${job.worker}`))),
      el("div", { class: "bar" }, ACTIONS[job.status].map((action) => actionButton(action)),
        isFinal(job) && button("Delete", async () => { if (await erase([job])) location.hash = "#/"; }, { class: "danger" }),
        hasModel ? el("a", { class: "button", href: `#/compare?jobs=${id}` }, "Compare")
          : job.status === "succeeded" && el("a", { class: "button primary", href: `#/tokenizers/${id}` }, "See how it splits a text"),
        el("a", { class: "button", href: `#/new/${id}` }, "New job like this")),
    ]);
    drawFacts();
  }

  function drawFacts() {
    const values = job.metrics?.values ?? {};
    const at = [progressBar(job), Math.floor(Date.now() / TICK_MILLISECONDS)];
    charts.node.hidden = isFinal(job) && !job.metrics; // nothing was measured, and nothing will be
    const time = isFinal(job) ? ["Took", seconds(duration(job))] : ["Time left", timeLeft(job)?.replace(" left", "") ?? "–"];
    putIfChanged(facts, [job, at[1]], () => [numbers(hasModel ? [
      ["Progress", percent(job.progress)],
      ["Step", job.step === null ? "–" : `${exact(job.step)}${job.max_steps ? ` / ${exact(job.max_steps)}` : ""}`],
      ["Training loss", fixed(values["train/loss"])],
      ["Validation loss", fixed(values["validation/loss"])],
      ["Perplexity", fixed(values["validation/perplexity"], 2)],
      ["Words seen", count(job.metrics?.words_seen), `${exact(job.metrics?.words_seen)} words, ${exact(job.metrics?.tokens_seen)} tokens`],
      ["Speed", values["throughput/tokens_per_second"] ? `${count(values["throughput/tokens_per_second"])} tok/s` : "–"],
      ["MFU", percent(values["throughput/mfu"]), "Model FLOPs utilisation: the share of the device's measured peak"],
      ["Memory", bytes(memoryOf(job))],
      time,
    ] : [["Progress", percent(job.progress)], ["Vocabulary", exact(job.spec.tokenizer.vocab_size)], time], "five"), el("div", { class: "progress-line" }, at[0])]);
    put(stageList, stages.list(job));
  }

  function actionButton(action) {
    const label = action[0].toUpperCase() + action.slice(1);
    const isAsked = job.status === "running" && (job.cancel_requested_at || (action === "pause" && job.pause_requested_at));
    return button(label, async (click) => {
      if (action === "cancel" && !await ask("Cancel this job?", { detail: "It stops after a checkpoint, and can be tried again from there.", confirm: "Cancel it", danger: true })) return;
      click.target.disabled = true;
      try {
        job = await act(job, action);
        announce(`${label}: ${job.status}`);
      } catch (error) {
        warnings.set(`refused ${action}`, { message: error.message, isError: true });
      }
      drawHead();
      drawNotices();
      if (["retry", "resume"].includes(action)) watch();
    }, { class: action === "cancel" ? "danger" : action === "resume" || action === "retry" ? "primary" : "", disabled: Boolean(isAsked), data: { key: action } });
  }

  function drawNotices() {
    const error = job.status === "failed" ? job.error : null;
    putIfChanged(notices, [error, [...warnings]], () => [
      error && el("div", { class: "notice error", role: "alert" }, el("b", {}, error.message), error.hint, " ", el("code", { class: "small" }, error.code)),
      [...warnings.values()].slice(-5).map(({ message, isError, times }) => el("div", { class: `notice${isError ? " error" : ""}` }, message, times > 1 ? ` (${times} times)` : "")),
    ]);
  }

  function keep(event) {
    const { type, data } = event;
    if (type === "stage") {
      stages.add(event);
      if (data.state === "finished" && data.stage === "clean") putIfChanged(corpus, data.counts, () => stages.corpus());
    } else if (type === "sample") {
      if (!samples.querySelector(".sample")) put(samples);
      samples.prepend(sampleNode(data, `step ${exact(data.step)}`));
      while (samples.children.length > SAMPLES_SHOWN) samples.lastChild.remove();
    } else if (type === "evaluation") {
      evaluations.add(event);
    } else if (type === "warning") {
      const before = warnings.get(data.code);
      warnings.set(data.code, { message: data.message, times: (before?.times ?? 0) + 1 });
      drawNotices();
    } else if (type === "metrics") {
      series.add(event);
    }
  }

  // In a few requests at once, the loss in the first: each is drawn when it is there. Of a long run, points
  // at equal distances come first, which takes no time, and the peaks between them as soon as they are found.
  async function readMetrics() {
    const names = Object.keys(job.metrics?.values ?? {}).sort((a, b) => b.endsWith("/loss") - a.endsWith("/loss"));
    if (!names.length) return;
    if ((job.step ?? 0) > LONG_STEPS) {
      await readShares([names], `&extremes=false&max_points=${FIRST_POINTS}`);
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    }
    await readShares(Array.from({ length: REQUESTS }, (_, first) => names.filter((_name, index) => index % REQUESTS === first)), "");
  }

  // A score is a metric of a name that the job may not have had before.
  async function readAgain() {
    job = await get(path, { signal });
    drawHead();
    await readMetrics();
  }

  async function readShares(shares, options) {
    await Promise.all(shares.filter(({ length }) => length).map(async (share) => {
      series.merge((await get(`${path}/metrics?names=${encodeURIComponent(share.join(","))}${options}`, { signal })).series);
      charts.draw(runs);
    }));
  }

  // Finer points of what is zoomed into; they join those that are known.
  async function lookCloser([low, high]) {
    try {
      const query = `after_step=${Math.max(-1, low - 1)}&before_step=${high + 1}&max_points=${DETAIL_POINTS}`;
      series.merge((await get(`${path}/metrics?${query}`, { signal })).series);
      charts.draw(runs);
    } catch { /* the coarse points stay */ }
  }

  async function readPast() {
    let after = 0;
    for (;;) {
      const { data } = await get(`${path}/events?types=${KEPT_EVENTS}&after=${after}&limit=1000`, { signal });
      const past = data.filter(({ seq }) => seq <= job.last_seq);
      past.forEach(keep);
      if (data.length < 1000 || past.length < data.length) return;
      after = data.at(-1).seq;
    }
  }

  let looking = false;
  let lookAgain = false;
  async function look() { // at most once a second, however many events come
    if (looking) { lookAgain = true; return; }
    looking = true;
    try {
      do {
        lookAgain = false;
        const before = job.status;
        job = await get(path, { signal });
        if (before !== job.status) announce(`${job.name}: ${job.status}`);
        drawHead();
        drawNotices();
        if (signal.aborted) return;
        await new Promise((wake) => setTimeout(wake, LOOK_MILLISECONDS));
      } while (lookAgain && !signal.aborted);
    } catch { /* the stream tells of a lost connection */ } finally {
      looking = false;
    }
  }

  let watching = false;
  let seen = job.last_seq;
  async function watch() {
    if (watching) return;
    watching = true;
    try {
      seen = await follow(id, seen, (event) => {
        seen = event.seq;
        keep(event);
        if (event.type === "metrics") charts.draw(runs);
        if (event.type === "checkpoint") checkpoints.look().catch(() => {});
        look();
      }, { signal, onConnection: connection });
    } catch (error) { // it was deleted, or the key is no longer good
      warnings.set("refused stream", { message: `This page is no longer live: ${error.message}`, isError: true });
      drawNotices();
      return;
    } finally {
      watching = false;
    }
    if (signal.aborted) return;
    await look();
    if (!isFinal(job)) watch(); // it was put back into the queue while we read the end
  }

  drawHead();
  drawNotices();
  await Promise.all([
    readMetrics(),
    readPast(),
    checkpoints.look(),
    evaluations.look(),
  ]);
  charts.loaded();
  drawFacts();
  const ticking = setInterval(() => { if (!isFinal(job)) drawFacts(); }, TICK_MILLISECONDS);
  signal.addEventListener("abort", () => clearInterval(ticking));
  if (!isFinal(job)) watch();
}
