// Which page is shown: the address decides, so that a reload or a link shows the same.

import { el, put } from "/static/dom.js";
import { showJobs } from "/static/jobs.js";
import { showJob } from "/static/job.js";
import { showNew } from "/static/new.js";

const page = document.getElementById("page");
const banner = document.getElementById("connection");
let leaving = null;

export function connection(isUp) {
  banner.hidden = isUp;
}

function route() {
  leaving?.abort();
  leaving = new AbortController();
  const parts = location.hash.replace(/^#\/?/, "").split("/");
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === (parts[0] === "new" ? "#/new" : "#/");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  put(page);
  const context = { page, signal: leaving.signal, connection };
  const shown = parts[0] === "jobs" && parts[1] ? showJob(context, parts[1])
    : parts[0] === "new" ? showNew(context, parts[1]) : showJobs(context);
  shown.catch((error) => {
    if (!context.signal.aborted) put(page, el("p", { class: "notice error", role: "alert" }, error.message));
  });
}

addEventListener("hashchange", route);
route();
