// The live log of a job: followed, searched, and narrowed to a level.

import { followLog } from "/static/api.js";
import { card, el, put } from "/static/dom.js";

const LEVELS = ["all lines", "warnings and errors", "errors"];
const MAX_LINES = 5000;

function levelOf(line, before) {
  const level = /\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b/.exec(line.slice(0, 60))?.[1];
  if (!level) return before; // a traceback goes on for many lines
  return level === "ERROR" || level === "CRITICAL" ? 2 : level === "WARNING" ? 1 : 0;
}

export class Log {
  constructor(job, signal) {
    this.job = job;
    this.signal = signal;
    this.lines = [];
    this.rest = "";
    this.view = el("div", { class: "log", tabIndex: 0, role: "log", "aria-label": "Log", "aria-live": "off" });
    this.followed = el("input", { type: "checkbox", checked: true });
    this.search = el("input", { type: "search", placeholder: "Search the log", "aria-label": "Search the log", on: { input: () => this.drawAll() } });
    this.level = el("select", { "aria-label": "Lines shown", on: { change: () => this.drawAll() } }, LEVELS.map((name, index) => el("option", { value: index }, name)));
    this.node = card({ heading: "Log", wide: true, actions: [el("div", { class: "log-tools" }, el("label", { class: "inline" }, this.followed, "Follow"), this.level, this.search)] }, this.view);
    // Who scrolls up wants to read; who scrolls to the end wants to follow again.
    this.view.addEventListener("scroll", () => { this.followed.checked = this.isAtEnd(); });
    this.start();
  }

  isAtEnd() {
    return this.view.scrollTop + this.view.clientHeight >= this.view.scrollHeight - 12;
  }

  start() {
    this.drawAll();
    followLog(this.job, {
      signal: this.signal,
      onStart: () => { this.lines = []; this.rest = ""; this.drawAll(); },
      onText: (text) => this.add(text),
    });
  }

  add(text) {
    const parts = (this.rest + text).split("\n");
    this.rest = parts.pop();
    const fresh = parts.map((line) => {
      const entry = { text: line, level: levelOf(line, this.lines.at(-1)?.level ?? 0) };
      this.lines.push(entry);
      return entry;
    });
    if (this.lines.length > MAX_LINES) {
      this.lines.splice(0, this.lines.length - MAX_LINES);
      this.drawAll();
    } else {
      if (this.lines.length === fresh.length) put(this.view);
      this.view.append(...this.nodesOf(fresh));
    }
    this.scroll();
  }

  nodesOf(lines) {
    const wanted = this.search.value.trim().toLowerCase();
    const level = Number(this.level.value);
    return lines.filter((line) => line.level >= level && (!wanted || line.text.toLowerCase().includes(wanted)))
      .map((line) => el("div", { class: ["", "warning", "error"][line.level] }, marked(line.text, wanted)));
  }

  drawAll() {
    const nodes = this.nodesOf(this.lines);
    put(this.view, nodes.length ? nodes : el("div", { class: "soft" }, this.lines.length ? "No such line." : "Nothing yet."));
    this.scroll();
  }

  scroll() {
    if (this.followed.checked) this.view.scrollTop = this.view.scrollHeight;
  }
}

function marked(text, wanted) {
  if (!wanted) return text;
  const parts = [];
  let from = 0;
  for (let at = text.toLowerCase().indexOf(wanted); at >= 0; at = text.toLowerCase().indexOf(wanted, from)) {
    parts.push(text.slice(from, at), el("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, text.slice(from)];
}
