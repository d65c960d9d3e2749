// The list of jobs: live, filtered and searched by the service, a page at a time.

import { get, poll, Refused } from "/static/api.js";
import { announce, ask, button, el, put, putIfChanged } from "/static/dom.js";
import { ago, bytes, count, duration, fixed, percent, seconds } from "/static/format.js";
import { act, erase, isFinal, memoryOf, progressBar, standing, STATUSES, statusBadge, timeLeft } from "/static/jobfacts.js";
import { sparkline } from "/static/sparkline.js";

const PAGE = 50;
const TYPING_MILLISECONDS = 250;
const CURVE_MILLISECONDS = 6000;

export async function show({ page, signal, connection, parameters, setParameters }) {
  document.title = "Jobs – BabyLM";
  const view = { status: parameters.get("status") ?? "", search: parameters.get("search") ?? "", cursors: [], curves: new Map(), chosen: new Map(), rows: new Map() };
  const search = el("input", { type: "search", placeholder: "Search by name or id", value: view.search, "aria-label": "Search jobs" });
  const filters = el("div", { class: "choices", role: "group", "aria-label": "Status" });
  const body = el("tbody");
  const all = el("input", { type: "checkbox", "aria-label": "Choose all jobs of this page" });
  const list = el("div", { class: "card jobs" }, el("table", {}, el("caption", { class: "hidden" }, "Jobs, newest first"),
    el("thead", {}, el("tr", {}, el("td", {}, all), ["Job", "Status", "Progress", "Loss"].map((name) => el("th", { scope: "col" }, name)),
      ["Speed", "Memory", "Time"].map((name) => el("th", { scope: "col", class: "number" }, name)))), body));
  const nothing = el("div", { class: "card empty", hidden: true });
  const newer = button("← Newer", () => { view.cursors.pop(); lookNow(); });
  const older = button("Older →", () => { view.cursors.push(view.next); lookNow(); });
  const selected = el("div", { class: "bar selected-bar", hidden: true, role: "region", "aria-label": "Chosen jobs" });
  put(page, el("div", { class: "page-head" }, el("h1", {}, "Jobs"), el("a", { class: "button primary", href: "#/new" }, "New job")),
    el("div", { class: "filters" }, filters, search), list, nothing, el("div", { class: "bar end" }, newer, older), selected);

  function filter(status) {
    Object.assign(view, { status, cursors: [] });
    setParameters({ status });
    lookNow();
  }

  // For a choice of the user, beside the looks of the clock.
  function lookNow() {
    look().catch(() => { if (!signal.aborted) connection(false); });
  }

  function drawFilters(counts) {
    const total = Object.values(counts).reduce((sum, value) => sum + value, 0);
    const entries = [["", "All", total], ...STATUSES.map((status) => [status, status, counts[status] ?? 0])].filter(([name, , number]) => number || !name || name === view.status);
    putIfChanged(filters, [entries, view.status], () => entries.map(([name, label, number]) =>
      button([label, el("small", {}, count(number))], () => filter(name), { "aria-pressed": String(view.status === name), data: { key: name || "all" } })));
  }

  function choose(job, isChosen) {
    if (isChosen) view.chosen.set(job.id, job);
    else view.chosen.delete(job.id);
    drawSelected();
  }

  function drawSelected() {
    const jobs = [...view.chosen.values()];
    selected.hidden = !jobs.length;
    for (const [id, { node, box }] of view.rows) {
      box.checked = view.chosen.has(id);
      if (box.checked) node.setAttribute("aria-selected", "true");
      else node.removeAttribute("aria-selected");
    }
    all.checked = view.rows.size > 0 && [...view.rows.keys()].every((id) => view.chosen.has(id));
    const stoppable = jobs.filter((job) => !isFinal(job));
    const ended = jobs.filter(isFinal);
    putIfChanged(selected, jobs.map((job) => [job.id, job.status]), () => [
      el("b", {}, `${jobs.length} chosen`),
      el("a", { class: "button", href: `#/compare?jobs=${jobs.map((job) => job.id).join(",")}` }, "Compare"),
      stoppable.length && button(`Cancel ${stoppable.length}`, () => cancelAll(stoppable), { class: "danger" }),
      ended.length && button(`Delete ${ended.length}`, async () => { if (await erase(ended)) { view.chosen.clear(); lookNow(); } }, { class: "danger" }),
      button("Clear", () => { view.chosen.clear(); drawSelected(); }, { class: "quiet" }),
    ]);
  }

  async function cancelAll(jobs) {
    const detail = "A running one stops after a checkpoint; it can be tried again later from there.";
    if (!await ask(`Cancel ${jobs.length} job${jobs.length === 1 ? "" : "s"}?`, { detail, confirm: "Cancel them", danger: true })) return;
    let refused = 0;
    for (const job of jobs) {
      try { await act(job, "cancel"); } catch (error) { if (!(error instanceof Refused)) throw error; refused += 1; }
    }
    announce(`${jobs.length - refused} jobs cancelled${refused ? `, ${refused} had ended already` : ""}`);
    view.chosen.clear();
    lookNow();
  }

  function rowOf(job) {
    let row = view.rows.get(job.id);
    if (!row) {
      const box = el("input", { type: "checkbox", "aria-label": `Choose ${job.name}`, on: { change: () => choose(row.job, box.checked) } });
      const cells = el("tr", { on: { click: (click) => { if (!click.target.closest("a, input, button")) location.hash = `#/jobs/${job.id}`; } } });
      row = { node: cells, box, job };
    }
    row.job = job;
    putIfChanged(row.node, [job, view.curves.get(job.id)?.drawn, Math.floor(Date.now() / 60000)], () => cellsOf(job, row.box, view.curves.get(job.id)));
    return row;
  }

  async function look() {
    const query = new URLSearchParams({ limit: PAGE });
    if (view.status) query.set("status", view.status);
    if (view.search) query.set("search", view.search);
    if (view.cursors.length) query.set("after", view.cursors.at(-1));
    const asked = query.toString();
    view.asked = asked;
    const answer = await get(`/v1/jobs?${asked}`, { signal });
    if (signal.aborted || view.asked !== asked) return;
    view.next = answer.next;
    drawFilters(answer.counts);
    const rows = new Map();
    for (const job of answer.data) {
      rows.set(job.id, rowOf(job));
      if (view.chosen.has(job.id)) view.chosen.set(job.id, job);
    }
    view.rows = rows;
    const nodes = [...rows.values()].map(({ node }) => node);
    if (nodes.length !== body.children.length || nodes.some((node, index) => node !== body.children[index])) put(body, nodes);
    list.hidden = !answer.data.length;
    nothing.hidden = Boolean(answer.data.length);
    putIfChanged(nothing, [view.status, view.search], () => view.status || view.search
      ? [el("h2", {}, "No job like that"), el("p", { class: "soft" }, "Nothing fits this search and status.")]
      : [el("h2", {}, "No job yet"), el("p", { class: "soft" }, "The sample preset trains a small model in a few minutes, on any machine."), el("a", { class: "button primary", href: "#/new" }, "Train the first model")]);
    newer.hidden = !view.cursors.length;
    older.hidden = answer.next === null;
    drawSelected();
    lookAtCurves(answer.data);
  }

  // Curves are asked for beside the list and never hold it up; one of an ended job is asked for once.
  async function lookAtCurves(jobs) {
    const now = Date.now();
    const wanted = jobs.filter((job) => {
      const known = view.curves.get(job.id);
      return job.step !== null && (!known || (known.step !== job.step && (isFinal(job) || now - known.at > CURVE_MILLISECONDS)));
    });
    if (!wanted.length) return;
    for (const job of wanted) view.curves.set(job.id, { values: [], ...view.curves.get(job.id), step: job.step, at: now });
    try {
      const answer = await get(`/v1/metrics?max_points=60&jobs=${wanted.map((job) => job.id).join(",")}`, { signal });
      for (const [id, { series }] of Object.entries(answer.jobs)) {
        Object.assign(view.curves.get(id), { values: series["train/loss"].value, drawn: now });
        const row = view.rows.get(id);
        if (row && !signal.aborted) rowOf(row.job);
      }
      drawSelected();
    } catch { // the next look asks again
      for (const job of wanted) view.curves.delete(job.id);
    }
  }

  all.addEventListener("change", () => {
    const isChosen = all.checked; // each choice draws the box anew
    for (const { job } of view.rows.values()) choose(job, isChosen);
  });
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      Object.assign(view, { search: search.value.trim(), cursors: [] });
      setParameters({ search: view.search });
      lookNow();
    }, TYPING_MILLISECONDS);
  });
  await poll(look, { signal, onConnection: connection });
}

function cellsOf(job, box, curve) {
  const values = job.metrics?.values ?? {};
  const isRunning = job.status === "running";
  const steps = job.step === null ? "" : job.max_steps ? `${count(job.step)} / ${count(job.max_steps)}` : count(job.step);
  const about = [job.spec.task === "tokenizer" ? "tokenizer" : job.spec.model?.architecture, job.spec.data?.dataset, job.id.slice(0, 8)].filter(Boolean).join(" · ");
  const line = [standing(job), job.status !== "failed" && steps && `step ${steps}`].filter(Boolean).join(" · ");
  return [
    el("td", {}, box),
    el("th", { scope: "row", class: "name" }, el("a", { href: `#/jobs/${job.id}`, title: job.name, data: { key: `name ${job.id}` } }, job.name), el("span", {}, about)),
    el("td", {}, statusBadge(job)),
    el("td", { class: "going" }, el("div", { class: "bar" }, el("span", { class: job.status === "failed" ? "bad" : "soft", title: line }, line.length > 34 ? `${line.slice(0, 33)}…` : line), el("span", { class: "soft nowrap" }, job.progress > 0 && job.progress < 1 ? percent(job.progress) : "")), progressBar(job)),
    el("td", { class: "curve" }, values["train/loss"] !== undefined && el("div", {}, curve?.values.length > 1 ? sparkline(curve.values, `Training loss, now ${fixed(values["train/loss"])}`) : null,
      el("div", {}, el("b", {}, fixed(values["train/loss"])), values["validation/loss"] !== undefined && el("span", { class: "second" }, `val. ${fixed(values["validation/loss"])}`)))),
    el("td", { class: "number speed" }, values["throughput/tokens_per_second"] && el("span", { class: isRunning ? "" : "soft" }, `${count(values["throughput/tokens_per_second"])} tok/s`)),
    el("td", { class: "number memory" }, memoryOf(job) && el("span", { class: isRunning ? "" : "soft" }, bytes(memoryOf(job)))),
    el("td", { class: "number time" }, timeLeft(job) ?? (job.finished_at && job.started_at ? seconds(duration(job)) : ""), el("span", { class: "second" }, ago(job.finished_at ?? job.started_at ?? job.created_at))),
  ];
}
