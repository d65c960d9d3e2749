// The list of jobs, live.

import { get } from "/static/api.js";
import { count, el, fixed, put, seconds, when } from "/static/dom.js";

const LOOK_MILLISECONDS = 1500;

export function statusBadge(job) {
  const wish = job.status === "running" && (job.cancel_requested_at ? " (cancelling)" : job.pause_requested_at ? " (pausing)" : "");
  return el("span", { class: `status ${job.status}` }, job.status + (wish || ""));
}

export function facts(job) {
  const values = job.metrics?.values ?? {};
  const list = [];
  if (job.waiting_for) list.push(`waits for ${job.waiting_for.what}, number ${job.waiting_for.position}`);
  if (job.status === "running" && job.stage) list.push(job.stage);
  if (job.step !== null) list.push(`step ${count(job.step)}${job.max_steps ? ` of ${count(job.max_steps)}` : ""}`);
  if (values["train/loss"] !== undefined) list.push(`loss ${fixed(values["train/loss"])}`);
  if (values["validation/loss"] !== undefined) list.push(`validation ${fixed(values["validation/loss"])}`);
  if (job.status === "running" && values["throughput/tokens_per_second"]) list.push(`${count(values["throughput/tokens_per_second"])} tokens/s`);
  if (job.status === "running" && job.eta_seconds !== null) list.push(`${seconds(job.eta_seconds)} left`);
  if (job.error) list.push(job.error.message);
  return list;
}

function row(job) {
  return el("li", {}, el("a", { class: "card job", href: `#/jobs/${job.id}` },
    el("strong", {}, job.name), statusBadge(job),
    el("progress", { max: 1, value: job.progress, "aria-label": `progress of ${job.name}` }),
    el("span", { class: "facts" }, [...facts(job), when(job.created_at)].map((fact) => el("span", {}, fact)))));
}

export async function showJobs({ page, signal, connection }) {
  document.title = "Jobs – BabyLM";
  const list = el("ul", { class: "jobs" });
  const more = el("button", { hidden: true }, "Show older jobs");
  let limit = 50;
  more.addEventListener("click", () => { limit += 50; look(); });
  put(page, el("h1", {}, "Jobs"), list, more);
  let shown = "";
  async function look() {
    let answer;
    try {
      answer = await get(`/v1/jobs?limit=${limit}`);
    } catch (error) {
      if (error.problem) throw error;
      connection(false);
      return;
    }
    connection(true);
    const now = JSON.stringify(answer);
    if (signal.aborted || now === shown) return; // nothing moves while nothing changed
    shown = now;
    const focused = document.activeElement?.getAttribute?.("href");
    put(list, answer.data.map(row));
    if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
    if (!answer.data.length) {
      put(list, el("li", { class: "card empty" }, el("p", {}, "No job yet."), el("a", { href: "#/new" }, "Train the first model")));
    }
    more.hidden = answer.next === null;
  }
  while (!signal.aborted) {
    if (!document.hidden) await look();
    await new Promise((wake) => setTimeout(wake, LOOK_MILLISECONDS));
  }
}
