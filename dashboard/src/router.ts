// The address has the form `#/page/part?name=value`. The parameters store the choices on the page.

import { signal } from "@preact/signals";

export interface Route {
  page: string;
  parts: string[];
  parameters: URLSearchParams;
}

function decoded(text: string) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // the text has a percent sign that encodes no character
  }
}

function parse(): Route {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...parts] = path.split("/").map(decoded);
  return { page, parts, parameters: new URLSearchParams(query ?? "") };
}

export const route = signal(parse());

addEventListener("hashchange", () => {
  route.value = parse();
});

// Returns a function that checks whether the page is still the one that was open when
// `rememberPage` was called. Delayed code calls it before it changes the address.
export function rememberPage(): () => boolean {
  const path = ({ page, parts }: Route) => [page, ...parts].join("/");
  const before = path(route.peek());
  return () => path(route.peek()) === before;
}

export function navigate(hash: string) {
  location.hash = hash;
}

// Sets values in the address without a new history entry; removes empty values.
export function setParameters(values: Record<string, string | null | undefined>) {
  const [path, query] = location.hash.split("?");
  const parameters = new URLSearchParams(query ?? "");
  for (const [key, value] of Object.entries(values)) {
    if (value) parameters.set(key, value);
    else parameters.delete(key);
  }
  const text = parameters.toString();
  history.replaceState(null, "", `${path || "#/"}${text ? `?${text}` : ""}`);
  route.value = parse();
}
