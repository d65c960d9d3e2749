// A form made from a JSON schema: a field that the API learns appears by itself.
//
// Fields are left empty where the default or the preset shall hold; what that will be stands in the
// field as its placeholder. So the spec holds what the user wanted, and nothing else.

import { el, put } from "/static/dom.js";

// The parts of a field's schema that the form needs, whatever the form of the union.
export function fieldOf(schema, root) {
  const whole = resolve(schema, root);
  const choices = (whole.anyOf ?? [whole]).map((choice) => resolve(choice, root));
  const main = choices.find(({ type }) => type !== "null") ?? whole;
  return { ...main, description: schema.description ?? whole.description ?? main.description, default: schema.default ?? whole.default ?? main.default, mayBeNull: choices.some(({ type }) => type === "null"), others: choices.filter((choice) => choice !== main && choice.type !== "null") };
}

export function resolve(schema, root) {
  if (!schema.$ref) return schema;
  return schema.$ref.split("/").slice(1).reduce((node, key) => node[key], root);
}

export function titleOf(name) {
  const text = name.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

export function shownValue(value) {
  if (value === null || value === undefined) return value === null ? "none" : "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// One field. `path` is the name the API has for it, model.hidden_size; `values` is a Map from paths to
// what the user chose; `suggestions` gives names to choose from.
export class Field {
  constructor(path, schema, { values, onChange, suggestions = null }) {
    Object.assign(this, { path, schema, values, onChange });
    const name = path.split(".").at(-1);
    this.id = `field-${path.replaceAll(".", "-")}`;
    this.isList = schema.type === "array";
    this.control = this.makeControl(this.isList ? null : suggestions);
    this.control.id = this.id;
    this.hint = el("span", { class: "hint", id: `${this.id}-hint` }, schema.description ?? "");
    this.fault = el("span", { class: "fault", id: `${this.id}-fault`, hidden: true });
    this.control.setAttribute("aria-describedby", `${this.hint.id} ${this.fault.id}`);
    this.offers = this.isList && suggestions?.length ? this.makeOffers(suggestions) : null;
    this.node = el("div", { class: "field" }, el("label", {}, el("span", { class: "label" }, titleOf(name)), this.control), this.offers, this.fault, this.hint);
    this.control.addEventListener("input", () => this.changed());
    this.fill();
  }

  makeControl(suggestions) {
    const { schema } = this;
    const fixed = schema.enum ?? (schema.type === "boolean" ? [true, false] : null) ?? suggestions;
    if (fixed) {
      this.options = fixed.map((value) => [JSON.stringify(value), value]);
      if (schema.mayBeNull) this.options.push(["null", null]);
      this.first = el("option", { value: "" }, "default");
      return el("select", {}, this.first, this.options.map(([text, value]) => el("option", { value: text }, shownValue(value))));
    }
    if (this.isList) return el("textarea", { rows: 2, placeholder: "one a line" });
    const isNumber = ["integer", "number"].includes(schema.type);
    return el("input", { type: "text", inputMode: isNumber ? "decimal" : "text", spellcheck: false, autocomplete: "off" });
  }

  // Names that may stand in a list: pressed, a name is put in or taken out.
  makeOffers(names) {
    const entries = () => this.control.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const buttons = names.map((name) => el("button", { type: "button", on: { click: () => {
      const now = entries();
      this.control.value = (now.includes(name) ? now.filter((one) => one !== name) : [...now, name]).join("\n");
      this.changed();
    } } }, name));
    this.markOffers = () => buttons.forEach((node, index) => node.setAttribute("aria-pressed", String(entries().includes(names[index]))));
    return el("div", { class: "bar offers" }, buttons);
  }

  // Puts into the control what the user has chosen.
  fill() {
    const has = this.values.has(this.path);
    const value = this.values.get(this.path);
    if (this.options) {
      const text = has ? JSON.stringify(value) : "";
      if (has && !this.options.some(([known]) => known === text)) { // a folder that is gone is still what was chosen
        this.options.push([text, value]);
        this.control.append(el("option", { value: text }, shownValue(value)));
      }
      this.control.value = text;
    } else {
      this.control.value = !has ? "" : value === null ? "none" : this.isList && Array.isArray(value) ? value.join("\n") : String(value);
    }
    this.mark();
  }

  // Says what holds while the field is empty.
  setDefault(value) {
    const text = shownValue(value);
    if (this.first) this.first.textContent = text ? `${text} (default)` : "default";
    else this.control.placeholder = this.isList && !value?.length ? "one a line" : text;
  }

  changed() {
    const value = this.read();
    if (value === undefined) this.values.delete(this.path);
    else this.values.set(this.path, value);
    this.mark();
    this.onChange();
  }

  // What is in the control. What is not a number is sent as it is: the API says best what is wrong with it.
  read() {
    const text = this.control.value;
    if (text.trim() === "") return undefined;
    if (this.options) return JSON.parse(text);
    if (this.schema.mayBeNull && /^(none|null)$/i.test(text.trim())) return null;
    if (this.isList) return text.split("\n").map((line) => line.trim()).filter(Boolean);
    if (["integer", "number"].includes(this.schema.type) || this.schema.others.some(({ type }) => type === "integer" || type === "number")) {
      const number = Number(text.replaceAll(/[ ,_](?=\d{3}\b)/g, ""));
      return Number.isFinite(number) ? number : text;
    }
    return text;
  }

  mark() {
    this.markOffers?.();
    this.node.classList.toggle("changed", this.values.has(this.path));
  }

  refuse(message) {
    this.fault.hidden = !message;
    this.fault.textContent = message ?? "";
    if (message) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
    // A field that is wrong must be seen.
    if (message) this.node.closest("details")?.setAttribute("open", "");
  }
}

// The fields of an object, those inside of it too: the important ones first, the others behind a fold.
export function fieldsOf(path, schema, root, { important = [], skip = [], make }) {
  const found = [];
  for (const [name, part] of Object.entries(schema.properties ?? {})) {
    const inner = path ? `${path}.${name}` : name;
    if (skip.includes(name) || part.const !== undefined) continue;
    const field = fieldOf(part, root);
    if (field.properties) found.push(...fieldsOf(inner, field, root, { make }).fields);
    else found.push(make(inner, field));
  }
  const rank = (field) => important.indexOf(field.path.split(".").at(-1));
  const first = found.filter((field) => rank(field) >= 0).sort((a, b) => rank(a) - rank(b));
  const rest = found.filter((field) => rank(field) < 0);
  return { fields: found, node: el("div", {}, el("div", { class: "fields" }, first.map(({ node }) => node)),
    rest.length > 0 && (first.length ? el("details", { class: "more" }, el("summary", {}, `All options (${rest.length} more)`), el("div", { class: "fields" }, rest.map(({ node }) => node)))
      : el("div", { class: "fields" }, rest.map(({ node }) => node)))) };
}

// The values as one object: { "model.hidden_size": 8 } is { model: { hidden_size: 8 } }.
export function nested(values) {
  const result = {};
  for (const [path, value] of values) {
    const parts = path.split(".");
    const last = parts.pop();
    let node = result;
    for (const part of parts) node = node[part] ??= {};
    node[last] = value;
  }
  return result;
}

export function showFaults(fields, errors, summary) {
  const byPath = new Map(fields.map((field) => [field.path, field]));
  const told = new Map();
  const rest = [];
  for (const { field, message: text } of errors) {
    // A list's entry, data.sources.0, is told at the list.
    const known = byPath.get(field) ?? byPath.get(field.replace(/\.\d+$/, "")) ?? [...byPath.values()].find(({ path }) => field.startsWith(`${path}.`));
    if (known) told.set(known, [told.get(known), text].filter(Boolean).join("; "));
    else rest.push({ field, text });
  }
  for (const field of fields) field.refuse(told.get(field) ?? null);
  put(summary, rest.map(({ field, text }) => el("p", { class: "notice error" }, field && el("b", {}, field), text)));
  return told.size + rest.length;
}
