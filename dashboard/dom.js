// Elements. Text goes in as text only: names, logs and samples are never markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, options = {}, ...children) {
  const { class: name, on, data, ...rest } = options;
  const node = document.createElement(tag);
  if (name) node.className = name;
  for (const [event, handler] of Object.entries(on ?? {})) node.addEventListener(event, handler);
  for (const [key, value] of Object.entries(data ?? {})) node.dataset[key] = value;
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined || value === null || value === false) continue;
    if (key in node && key !== "list" && key !== "form" && key !== "role") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...flat(children));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...flat(children));
  return node;
}

function flat(children) {
  return children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
}

export function put(parent, ...children) {
  parent.replaceChildren(...flat(children));
}

// Replaces the children only when `state` is another than at the last call, so that nothing that is
// focused, selected or read aloud is torn away while nothing has changed.
export function putIfChanged(parent, state, make) {
  const text = JSON.stringify(state);
  if (parent.babylmState === text) return;
  parent.babylmState = text;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  put(parent, make());
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

export function card(title, ...body) {
  const { heading, actions, wide, id } = typeof title === "object" ? title : { heading: title };
  return el("section", { class: `card${wide ? " wide" : ""}`, id, "aria-label": heading },
    el("div", { class: "card-head" }, el("h2", {}, heading), actions && el("div", { class: "bar" }, actions)), body);
}

// The act; what it does not handle itself, a refusal or a lost connection, is told in a dialog.
export function told(act) {
  return async (event) => {
    try {
      await act(event);
    } catch (error) {
      if (error.name !== "AbortError") await ask("That did not work", { detail: error.message, confirm: "OK", mayRefuse: false });
    }
  };
}

export function button(label, act, options = {}) {
  const { class: name = "", ...rest } = options;
  return el("button", { type: "button", class: name, on: { click: told(act) }, ...rest }, label);
}

export function numbers(pairs, kind = "") {
  return el("dl", { class: `numbers ${kind}` }, pairs.filter(Boolean).map(([name, value, hint]) =>
    el("div", { title: hint }, el("dt", {}, name), el("dd", {}, value))));
}

export function table(heads, rows, { caption, empty = "Nothing yet.", kind = "" } = {}) {
  if (!rows.length) return el("p", { class: "soft" }, empty);
  return el("div", { class: `scroll ${kind}`, tabIndex: 0, role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden" }, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col", class: head.startsWith?.("#") ? "number" : "" }, head.replace?.(/^#/, "") ?? head)))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, index) =>
        el(index ? "td" : "th", { scope: index ? undefined : "row", class: heads[index]?.startsWith?.("#") ? "number" : "" }, cell)))))));
}

export function copyButton(text, label = "Copy") {
  const node = button(label, async () => {
    try {
      await navigator.clipboard.writeText(text());
      node.textContent = "Copied";
    } catch { // an insecure origin has no clipboard
      node.textContent = "Select and copy";
    }
    announce(node.textContent);
    setTimeout(() => { node.textContent = label; }, 1600);
  }, { class: "quiet" });
  return node;
}

// Told to screen readers; shown to nobody.
export function announce(text) {
  document.getElementById("live").textContent = text;
}

// Asks in a dialog of the page; resolves to false, true, or what was typed.
export function ask(question, { detail, fault, confirm = "OK", danger = false, input = null, mayRefuse = true } = {}) {
  return new Promise((resolve) => {
    const field = input && el("input", { type: input.type ?? "text", autocomplete: "off" });
    const dialog = el("dialog", { "aria-labelledby": "question" },
      el("form", { method: "dialog" }, el("h2", { id: "question" }, question), detail && el("p", { class: "soft" }, detail),
        fault && el("p", { class: "notice error", role: "alert" }, fault),
        field && el("label", {}, input.label, field),
        el("div", { class: "bar end" }, mayRefuse && el("button", { value: "", type: "submit", formNoValidate: true }, "Not now"),
          el("button", { value: "yes", type: "submit", class: danger ? "danger solid" : "primary" }, confirm))));
    // Enter in the field would press the first button, which says no.
    field?.addEventListener("keydown", (key) => { if (key.key === "Enter") { key.preventDefault(); if (field.value) dialog.close("yes"); } });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" && (field ? field.value : true));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
