// Judging the checkpoints of a job on minimal pairs, and what came of it.

import { get, post } from "/static/api.js";
import { button, card, el, put, putIfChanged, table } from "/static/dom.js";
import { count, exact, percent, seconds } from "/static/format.js";

const LOOK_MILLISECONDS = 2000;
const OPEN = ["queued", "running"];

export class Evaluations {
  // `events` of a run tell of the scores that the run itself measured; tasks of the short worker have rows.
  constructor(job, checkpoints, { signal, onScore }) {
    Object.assign(this, { job, signal, onScore, events: new Map(), rows: [] });
    this.task = el("select", {});
    this.checkpoint = el("select", {});
    this.judge = button("Judge", () => this.start(), { class: "primary" });
    this.said = el("div", { role: "status" });
    this.form = el("div", { class: "task", hidden: true }, el("label", {}, "Task", this.task), el("label", {}, "Checkpoint", this.checkpoint), this.judge);
    this.body = el("div");
    this.node = card({ heading: "Evaluations", wide: true }, this.form, this.said, this.body);
    checkpoints.listeners.push((data) => {
      const kept = this.checkpoint.value;
      putIfChanged(this.checkpoint, data.map(({ name }) => name), () => data.map(({ name }) => el("option", { value: name }, name)));
      if (data.some(({ name }) => name === kept)) this.checkpoint.value = kept;
      this.form.hidden = !data.length || !this.task.childElementCount;
    });
  }

  add({ seq, data, time }) {
    this.events.set(seq, { ...data, time });
    this.draw();
  }

  async look() {
    const [tasks, rows] = await Promise.all([get("/v1/evaluations", { signal: this.signal }), get(`/v1/jobs/${this.job}/evaluations`, { signal: this.signal })]);
    putIfChanged(this.task, tasks.data.map(({ name }) => name), () => tasks.data.map(({ name, paradigms }) => el("option", { value: name }, `${name} (${exact(paradigms)} paradigm${paradigms === 1 ? "" : "s"})`)));
    this.form.hidden = !this.checkpoint.childElementCount || !tasks.data.length;
    const open = this.rows.filter(({ status }) => OPEN.includes(status)).map(({ id }) => id);
    this.rows = rows.data;
    this.draw();
    if (this.rows.some(({ id, status }) => open.includes(id) && !OPEN.includes(status))) await this.onScore();
    if (this.rows.some(({ status }) => OPEN.includes(status)) && !this.signal.aborted) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look().catch(() => {}), LOOK_MILLISECONDS);
    }
  }

  async start() {
    this.judge.disabled = true;
    put(this.said);
    try {
      await post(`/v1/jobs/${this.job}/checkpoints/${this.checkpoint.value}/evaluations`, { task: this.task.value });
      await this.look();
    } catch (error) {
      put(this.said, el("p", { class: "notice error" }, error.message));
    }
    this.judge.disabled = false;
  }

  draw() {
    const judged = new Set(this.rows.map(({ task, checkpoint }) => `${task} ${checkpoint}`));
    const own = [...this.events.values()].filter(({ task, checkpoint }) => !judged.has(`${task} ${checkpoint}`));
    const rows = [
      ...[...this.rows].reverse().map((row) => [row.task, row.checkpoint, count(row.words_seen), scoreOf(row), row.pairs === null ? "–" : exact(row.pairs), seconds(row.seconds)]),
      ...own.reverse().map(({ task, checkpoint, step, scores }) => [task, checkpoint ?? `step ${count(step)}`, "–", percent(scores.score ?? Object.values(scores)[0], 1), "–", "–"]),
    ];
    const hasTasks = this.task.childElementCount > 0;
    const none = hasTasks ? "None yet. Judge a checkpoint here, or name tasks in evaluation.tasks of a spec: the run then judges itself at its end."
      : "None yet. Put the files of a BabyLM task, such as BLiMP, into a folder of evaluations in the data directory, and judge a checkpoint here.";
    putIfChanged(this.body, [this.rows, own, hasTasks], () => [
      table(["Task", "Checkpoint", "#Words seen", "#Score", "#Items", "#Took"], rows, { caption: "Evaluations, newest first", empty: none }),
      this.rows.filter(({ paradigms }) => paradigms.length > 1).reverse().map((row) => el("details", {}, el("summary", {}, `${row.task} on ${row.checkpoint}, by paradigm`),
        el("div", { class: "bars below" }, [...row.paradigms].sort((a, b) => b.score - a.score).flatMap(({ name, score, pairs }) => [
          el("span", {}, name.replaceAll("_", " ")), el("meter", { min: 0, max: 1, value: score, "aria-label": `${name}: ${percent(score, 1)}` }), el("span", { class: "soft" }, `${percent(score, 1)} of ${exact(pairs)}`)])))),
    ]);
  }
}

function scoreOf(row) {
  if (row.status === "failed") return el("span", { class: "bad", title: row.error?.hint }, row.error?.message ?? "failed");
  if (row.score === null) return el("progress", { max: 1, value: row.status === "running" ? row.progress : 0, "aria-label": `${row.task} on ${row.checkpoint}` });
  return el("b", {}, row.metric === "spearman" ? row.score.toFixed(3) : percent(row.score, 1));
}
