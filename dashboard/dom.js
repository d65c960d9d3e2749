// Elements and numbers. Text goes in as text only: names, logs and samples are never markup.

export function el(tag, options = {}, ...children) {
  const { class: name, on, ...rest } = options;
  const node = document.createElement(tag);
  if (name) node.className = name;
  for (const [event, handler] of Object.entries(on ?? {})) node.addEventListener(event, handler);
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined || value === null || value === false) continue;
    if (key in node && key !== "list" && key !== "form") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function put(parent, ...children) {
  parent.replaceChildren(...children.flat().filter(Boolean));
}

const whole = new Intl.NumberFormat("en");

export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} B`;
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  return value >= 1e4 ? `${(value / 1e3).toPrecision(3)} k` : whole.format(Math.round(value));
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (value >= 1024 && index < units.length - 1) { value /= 1024; index += 1; }
  return `${index && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[index]}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  const total = Math.max(0, Math.round(value));
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${total % 60} s` : `${total} s`;
}

export function fixed(value, digits = 3) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

export function when(text) {
  return text ? new Date(text).toLocaleString() : "–";
}
