// A new job: a preset, the spec as JSON, and what it will need while it is typed.

import { get, post } from "/static/api.js";
import { bytes, count, el, put, seconds } from "/static/dom.js";

const WAIT_MILLISECONDS = 350;

export async function showNew({ page, signal }, from) {
  document.title = "New job – BabyLM";
  const [presets, earlier] = await Promise.all([get("/v1/presets"), from ? get(`/v1/jobs/${from}`) : null]);
  const choice = el("select", {}, presets.data.map((preset) => el("option", { value: preset.name }, `${preset.name} (${count(preset.parameter_count)} parameters)`)));
  const about = el("p", { class: "soft" });
  const spec = el("textarea", { class: "spec", spellcheck: false, "aria-label": "Spec as JSON" });
  const faults = el("div", { role: "alert" });
  const needs = el("div", { "aria-live": "polite" });
  const submit = el("button", { class: "primary" }, "Start training");
  let timer;

  function choose() {
    const preset = presets.data.find(({ name }) => name === choice.value);
    about.textContent = preset.description;
    spec.value = JSON.stringify({ preset: preset.name, data: preset.spec.data, training: { epochs: preset.spec.training.epochs, learning_rate: preset.spec.training.learning_rate } }, null, 2);
    later();
  }

  function refuse(error) {
    const entries = error.problem?.errors ?? [{ field: "", message: error.message }];
    put(faults, entries.map(({ field, message }) => el("p", { class: "notice error" }, field ? el("b", {}, `${field}: `) : null, message)));
  }

  async function look() {
    submit.disabled = true;
    try {
      const answer = await post("/v1/jobs/estimate", spec.value);
      if (signal.aborted) return;
      put(faults);
      put(needs, el("dl", { class: "numbers" }, [
        ["parameters", count(answer.parameter_count)], ["words", count(answer.words)], ["tokens, about", count(answer.tokens)],
        ["steps, about", count(answer.steps)], ["memory, about", bytes(answer.device_memory_bytes)], ["disk, about", bytes(answer.disk_bytes)],
        ["time on two cores", seconds(answer.seconds.cpu)], ["time on a GPU", seconds(answer.seconds.cuda)],
      ].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      answer.warnings.map((warning) => el("p", { class: "notice" }, warning)));
      submit.disabled = false;
    } catch (error) {
      if (!signal.aborted) refuse(error);
    }
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MILLISECONDS);
  }

  choice.addEventListener("change", choose);
  spec.addEventListener("input", later);
  submit.addEventListener("click", async () => {
    submit.disabled = true;
    try {
      const job = await post("/v1/jobs", spec.value);
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      refuse(error);
      submit.disabled = false;
    }
  });
  put(page, el("h1", {}, "New job"), el("div", { class: "grid" },
    el("section", { class: "card" }, el("h2", {}, "Spec"), el("label", {}, "Start from a preset", choice), about, spec, faults, el("div", { class: "bar" }, submit)),
    el("section", { class: "card" }, el("h2", {}, "What it will need"), needs)));
  if (earlier) {
    const { preset: _, ...rest } = earlier.spec;
    spec.value = JSON.stringify(rest, null, 2);
    about.textContent = `The spec of ${earlier.name}.`;
    later();
  } else {
    choose();
  }
}
