// Runs over each other: curves, where their specs differ, and what came out. The address keeps the choice.

import { get, poll } from "/static/api.js";
import { button, card, el, put, putIfChanged, table } from "/static/dom.js";
import { bytes, count, duration, fixed, percent, seconds } from "/static/format.js";
import { isFinal, leaves, memoryOf, statusBadge } from "/static/jobfacts.js";
import { Charts } from "/static/charts.js";
import { shownValue } from "/static/schema.js";
import { Series } from "/static/series.js";

const LOOK_MILLISECONDS = 4000;
const POINTS = 600;
const TYPING_MILLISECONDS = 250;
const UNTOLD = ["name"]; // it heads the column

export async function show({ page, signal, connection, parameters, setParameters }) {
  document.title = "Compare – BabyLM";
  const view = { ids: [...new Set((parameters.get("jobs") ?? "").split(",").filter(Boolean))], jobs: new Map(), series: new Map(), read: new Map(), all: false };
  const chosen = el("ul", { class: "legend chosen", "aria-label": "Runs" });
  const charts = new Charts();
  const results = el("div");
  const specs = el("div");
  const picked = el("div", { class: "found", role: "status" });
  const search = el("input", { type: "search", placeholder: "Add a run: name or id", "aria-label": "Find a run to add", on: { input: () => later(), focus: () => later() } });
  signal.addEventListener("abort", () => charts.close());
  const everything = el("div", {}, card({ heading: "Results" }, results), charts.node, el("div", { class: "below" }, specs));
  put(page, el("div", { class: "page-head" }, el("h1", {}, "Compare runs")), el("section", { class: "card", "aria-label": "Runs" }, chosen, search, picked), el("div", { class: "below" }, everything));

  const labelOf = (job) => ([...view.jobs.values()].filter(({ name }) => name === job.name).length > 1 ? `${job.name} (${job.id.slice(0, 6)})` : job.name);
  const runs = () => view.ids.map((id) => view.jobs.get(id)).filter(Boolean);

  function choose(ids) {
    view.ids = ids;
    setParameters({ jobs: ids.join(",") });
    look().catch(() => { if (!signal.aborted) connection(false); });
  }

  async function look() {
    await Promise.all(view.ids.map(async (id) => {
      if (view.jobs.has(id) && isFinal(view.jobs.get(id)) && view.read.get(id) === view.jobs.get(id).last_seq) return;
      try {
        view.jobs.set(id, await get(`/v1/jobs/${id}`, { signal }));
      } catch (error) { // it was deleted, or the address is wrong
        if (error.problem?.status === 404 || error.problem?.status === 422) view.ids = view.ids.filter((known) => known !== id);
        else throw error;
        return;
      }
      const job = view.jobs.get(id);
      if (view.read.get(id) === job.last_seq) return;
      const series = view.series.get(id) ?? new Series();
      series.merge((await get(`/v1/jobs/${id}/metrics?max_points=${POINTS}`, { signal })).series);
      view.series.set(id, series);
      view.read.set(id, job.last_seq);
    }));
    charts.loaded();
    if (!signal.aborted) draw();
  }

  function draw() {
    const jobs = runs();
    everything.hidden = !jobs.length;
    putIfChanged(chosen, jobs.map(({ id, name, status }) => [id, name, status]), () => jobs.length ? jobs.map((job, index) =>
      el("li", { class: `c${(index % 8) + 1}` }, el("a", { href: `#/jobs/${job.id}` }, labelOf(job)), statusBadge(job),
        button("Remove", () => choose(view.ids.filter((id) => id !== job.id)), { class: "quiet", "aria-label": `Remove ${job.name}`, data: { key: job.id } })))
      : el("li", { class: "none soft" }, "Choose two or more runs to lay over each other."));
    if (!jobs.length) return;
    charts.draw(jobs.map((job) => ({ id: job.id, label: labelOf(job), series: view.series.get(job.id) ?? new Series() })));
    putIfChanged(results, jobs, () => resultsTable(jobs, labelOf, view.series));
    putIfChanged(specs, [jobs.map(({ id }) => id), view.all], () => specsCard(jobs));
  }

  function specsCard(jobs) {
    const flat = jobs.map((job) => leaves(job.spec));
    const paths = [...new Set(flat.flatMap(Object.keys))].filter((path) => !UNTOLD.includes(path));
    const differs = (path) => new Set(flat.map((spec) => JSON.stringify(spec[path] ?? null))).size > 1;
    const shown = view.all ? paths : paths.filter(differs);
    const node = table(["Option", ...jobs.map(labelOf)], shown.map((path) => [el("code", {}, path), ...flat.map((spec) => shownValue(spec[path]) || "–")]),
      { caption: "Specs", empty: jobs.length > 1 ? "The specs are the same." : "A second run is needed for a difference." });
    if (view.all) [...node.querySelectorAll("tbody tr")].forEach((row, index) => row.classList.toggle("differs", differs(shown[index])));
    return card({ heading: view.all ? "Specs" : "Where the specs differ", actions: [button(view.all ? "Differences only" : "All options", () => { view.all = !view.all; draw(); }, { data: { key: "all" } })] }, node);
  }

  let typing;
  function later() {
    clearTimeout(typing);
    typing = setTimeout(async () => {
      const query = search.value.trim();
      let data;
      try {
        ({ data } = await get(`/v1/jobs?limit=8${query ? `&search=${encodeURIComponent(query)}` : ""}`, { signal }));
      } catch { // the connection, which the clock's looks tell of
        return;
      }
      if (query !== search.value.trim()) return; // a later question is on its way
      const free = data.filter(({ id, spec }) => !view.ids.includes(id) && spec.task !== "tokenizer");
      put(picked, free.length ? free.map((job) => button([job.name, el("small", { class: "soft" }, job.id.slice(0, 6))], () => { choose([...view.ids, job.id]); search.value = ""; put(picked); search.focus({ preventScroll: true }); }))
        : el("span", { class: "soft" }, query ? "No other run like that." : "There is no other run yet."));
    }, TYPING_MILLISECONDS);
  }

  if (view.ids.length < 2) later();
  await poll(look, { signal, onConnection: connection, milliseconds: LOOK_MILLISECONDS });
}

function resultsTable(jobs, labelOf, known) {
  const lowest = (job, name) => {
    const values = (known.get(job.id)?.line(name, "step").y ?? []).filter((value) => value !== null);
    return values.length ? Math.min(...values) : null;
  };
  const scores = [...new Set(jobs.flatMap((job) => Object.keys(job.metrics?.values ?? {}).filter((name) => name.startsWith("evaluation/"))))].sort();
  const lowestOf = jobs.map((job) => lowest(job, "validation/loss"));
  const best = Math.min(...lowestOf.filter((value) => value !== null));
  return table(["Run", "Status", "#Lowest validation loss", "#Validation loss", "#Perplexity", "#Bits a byte", "#Training loss", ...scores.map((name) => `#${name.slice(11)}`), "#Words seen", "#Steps", "#Tokens/s", "#Memory", "#Took"],
    jobs.map((job, index) => {
      const values = job.metrics?.values ?? {};
      return [el("a", { href: `#/jobs/${job.id}` }, labelOf(job)), statusBadge(job),
        lowestOf[index] !== null && lowestOf[index] === best && jobs.length > 1 ? el("b", { title: "The lowest of these" }, `${fixed(best)} ★`) : fixed(lowestOf[index]),
        fixed(values["validation/loss"]), fixed(values["validation/perplexity"], 2), fixed(values["validation/bits_per_byte"]), fixed(values["train/loss"]),
        ...scores.map((name) => percent(values[name], 1)), count(job.metrics?.words_seen), count(job.step), count(values["throughput/tokens_per_second"]), bytes(memoryOf(job)), seconds(duration(job))];
    }), { caption: "Results" });
}
