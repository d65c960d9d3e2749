// The stages of a job: which are done, how long each took, what came from the cache, what it counted.

import { card, el, table } from "/static/dom.js";
import { count, exact, seconds } from "/static/format.js";
import { isFinal } from "/static/jobfacts.js";

const ORDER = ["clean", "tokenizer", "tokenize", "train", "evaluate", "export"];
const NAMES = { clean: "Clean", tokenizer: "Tokenizer", tokenize: "Tokenize", train: "Train", evaluate: "Evaluate", export: "Export" };

// Not every job has each: which, its spec says.
function isDue(name, spec) {
  if (spec.task === "tokenizer") return ["clean", "tokenizer"].includes(name);
  return name !== "evaluate" || spec.evaluation?.tasks?.length > 0;
}

export class Stages {
  constructor() {
    this.known = new Map();
  }

  add({ data, time }) {
    const before = this.known.get(data.stage);
    this.known.set(data.stage, { ...data, time, counts: data.state === "finished" ? data.counts : before?.counts ?? {} });
  }

  list(job) {
    const names = ORDER.filter((name) => isDue(name, job.spec) || this.known.has(name) || job.stage === name);
    return el("ol", { class: "stages", "aria-label": "Stages" }, names.map((name) => {
      const stage = this.known.get(name);
      const isDone = stage?.state === "finished";
      const isNow = !isDone && job.stage === name && !isFinal(job);
      const isBroken = !isDone && job.status === "failed" && job.stage === name;
      const note = isDone ? (stage.cached ? "from the cache" : seconds(stage.seconds))
        : isNow && job.status === "running" && stage ? `for ${seconds((Date.now() - new Date(stage.time)) / 1000)}` : isBroken ? "failed here" : isNow ? job.status : "";
      return el("li", { class: isDone ? "done" : isBroken ? "broken" : isNow ? "now" : "", "aria-current": isNow ? "step" : undefined }, NAMES[name] ?? name, el("small", {}, note || "\u00a0"));
    }));
  }

  // What cleaning kept and dropped, by source.
  corpus() {
    const counts = this.known.get("clean")?.counts ?? {};
    const parts = Object.entries(counts).filter(([, part]) => part?.sources);
    if (!parts.length) return null;
    return card({ heading: "What cleaning did", wide: true }, parts.map(([part, data]) => [
      el("p", {}, `${part === "train" ? "Training" : "Validation"} text: ${exact(data.words)} words kept of ${exact(data.words_in)}, in ${exact(data.documents)} document${data.documents === 1 ? "" : "s"}.`),
      el("details", {}, el("summary", {}, "By source"), table(["Source", "#Words", "#Lines", "Changed and dropped"], Object.entries(data.sources).map(([source, { words, lines, dropped }]) => [
        source, exact(words), exact(lines), Object.entries(dropped ?? {}).sort((a, b) => b[1] - a[1]).map(([rule, number]) => `${rule.replaceAll("_", " ")} ${count(number)}`).join(", ") || "nothing"]), { caption: `Sources of the ${part} text` })),
    ]));
  }
}
