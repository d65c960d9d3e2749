// The colour scheme: light, dark, or the scheme of the system (`auto`).

import { signal } from "@preact/signals";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

function stored(): Theme {
  const name = localStorage.getItem("theme") as Theme;
  return THEMES.includes(name) ? name : "auto";
}

const theme = signal(stored());
// A number that increases when the effective colours change, so that charts are drawn again.
export const schemeVersion = signal(0);

function apply() {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  schemeVersion.value += 1;
}

apply();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);

function next() {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  localStorage.setItem("theme", theme.value);
  apply();
}

export function ThemeButton() {
  const name = theme.value;
  return (
    <button
      id="theme"
      class="quiet"
      type="button"
      aria-label={`Colour scheme: ${name}. Press to change it.`}
      onClick={next}
    >
      <svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true">
        <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.5" />
        <path d="M8 1.5a6.5 6.5 0 0 1 0 13z" fill="currentColor" />
      </svg>
      <span>{name[0].toUpperCase() + name.slice(1)}</span>
    </button>
  );
}
