// Which page is shown: the address decides, so that a reload or a link shows the same.

import { Refused, wait } from "/static/api.js";
import { announce, button, el, put } from "/static/dom.js";

// Each page is a module of its own, loaded when it is first shown.
const PAGES = {
  "": () => import("/static/pages/jobs.js"),
  jobs: () => {
    import("/static/vendor/uPlot.esm.js"); // the end of a chain of imports: asked for at once
    import("/static/chart.js");
    return import("/static/pages/job.js");
  },
  new: () => import("/static/pages/new.js"),
  compare: () => import("/static/pages/compare.js"),
  corpora: () => import("/static/pages/corpora.js"),
  tokenizers: () => import("/static/pages/tokenizers.js"),
  system: () => import("/static/pages/system.js"),
};
const RETRY_MILLISECONDS = 1500;
const THEMES = ["auto", "light", "dark"];

const page = document.getElementById("page");
const banner = document.getElementById("connection");
let leaving = null;
let shown = null;

function connection(isUp) {
  if (banner.hidden !== isUp) banner.hidden = isUp;
}

function markNavigation(name) {
  const here = name === "jobs" ? "#/" : `#/${name}`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === here) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" }); // the row of links is wider than a phone
    }
    else link.removeAttribute("aria-current");
  }
}

async function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const wanted = path;
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  markNavigation(name);
  const parameters = new URLSearchParams(query ?? "");
  const context = { page, signal, connection, parameters, setParameters };
  try {
    const module = await (PAGES[name] ?? PAGES[""])();
    if (signal.aborted) return;
    connection(true);
    if (shown !== wanted) { put(page); scrollTo(0, 0); }
    const isFirst = shown === null;
    shown = wanted;
    await module.show(context, ...rest.map(decodeURIComponent));
    if (!isFirst && !signal.aborted) announce(document.title);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof TypeError && !(await isReachable())) { // not a refusal: the connection is lost, and comes back
      connection(false);
      await wait(RETRY_MILLISECONDS, signal);
      if (!signal.aborted) route();
      return;
    }
    const status = error instanceof Refused ? error.problem.status : null;
    const heading = { 401: "A key is needed", 404: "Nothing is here", 422: "Nothing is here" }[status] ?? "That did not work";
    const text = status === 422 ? "The address of this page is not whole, or was changed." : error.message;
    put(page, el("div", { class: "page-head" }, el("h1", {}, heading)), el("p", { class: "notice error", role: "alert" }, text),
      el("div", { class: "bar" }, button("Try again", route, { class: "primary" }), el("a", { class: "button", href: "#/" }, "To the jobs")));
  }
}

async function isReachable() {
  try {
    await fetch("/healthz");
    return true;
  } catch {
    return false;
  }
}

// Keeps a choice in the address without showing the page anew.
function setParameters(values) {
  const [path, query] = location.hash.split("?");
  const parameters = new URLSearchParams(query ?? "");
  for (const [key, value] of Object.entries(values)) {
    if (value) parameters.set(key, value);
    else parameters.delete(key);
  }
  const text = parameters.toString();
  history.replaceState(null, "", `${path || "#/"}${text ? `?${text}` : ""}`);
}

function setTheme(name) {
  const root = document.documentElement;
  if (name === "auto") delete root.dataset.theme;
  else root.dataset.theme = name;
  const node = document.getElementById("theme");
  node.querySelector("span").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
  node.setAttribute("aria-label", `Colours: ${name}. Press for the next.`);
  dispatchEvent(new Event("themechange"));
}

document.querySelector(".skip").addEventListener("click", (click) => {
  click.preventDefault(); // the address names the page and has no room for a place in it
  page.focus();
});
document.getElementById("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % THEMES.length];
  localStorage.setItem("theme", next);
  setTheme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
addEventListener("hashchange", route);
setTheme(localStorage.getItem("theme") ?? "auto");
route();
