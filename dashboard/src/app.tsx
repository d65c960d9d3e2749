// The frame of every page, and the choice of the page by the address.

import { useEffect, useRef } from "preact/hooks";
import { watchAlerts } from "./lib/alerts.ts";
import { watchNotified } from "./lib/notify.ts";
import { announce, announcement, isConnected } from "./lib/state.ts";
import { PAGES } from "./pages/index.tsx";
import { type Route, route } from "./router.ts";
import { AlertsButton, AlertsDrawer } from "./ui/alerts.tsx";
import { NotFound } from "./ui/page.tsx";
import { ThemeButton } from "./ui/theme.tsx";

const LINKS = [
  ["#/", "Jobs"],
  ["#/new", "New job"],
  ["#/compare", "Compare"],
  ["#/playground", "Playground"],
  ["#/corpora", "Corpora"],
  ["#/tokenizers", "Tokenizers"],
  ["#/evaluations", "Evaluations"],
  ["#/system", "System"],
];

export function App() {
  useEffect(() => {
    const controller = new AbortController();
    watchAlerts(controller.signal);
    watchNotified(controller.signal);
    return () => controller.abort();
  }, []);
  return (
    <>
      <SkipLink />
      <header>
        <a class="brand" href="#/">
          <img src="/static/icon.svg" alt="" width="26" height="26" />
          BabyLM
        </a>
        <Navigation page={route.value.page} />
        <AlertsButton />
        <ThemeButton />
      </header>
      <p id="connection" role="status" hidden={isConnected.value}>
        The service does not respond. This page tries again every few seconds; jobs continue.
      </p>
      <main id="page" tabIndex={-1}>
        <Page {...route.value} />
      </main>
      <AlertsDrawer />
      <div id="live" class="hidden" role="status" aria-live="polite">
        {announcement.value}
      </div>
    </>
  );
}

function Page({ page, parts, parameters }: Route) {
  const shown = useRef<string | null>(null);
  const path = [page, ...parts].join("/");
  useEffect(() => {
    scrollTo(0, 0);
    if (shown.current !== null) announce(document.title);
    shown.current = path;
  }, [path]);
  const found = PAGES.get(page);
  if (!found || parts.length > found.parts) {
    return (
      <NotFound>There is no page “{path}”. Check the address, or open the list of jobs.</NotFound>
    );
  }
  const { View } = found;
  return <View key={path} parts={parts} parameters={parameters} />;
}

function SkipLink() {
  const skip = (click: Event) => {
    click.preventDefault(); // the part of the address after # names the page, not an anchor
    document.getElementById("page")?.focus();
  };
  return (
    // biome-ignore lint/a11y/useValidAnchor: it moves the focus within the page
    <a class="skip" href="#page" onClick={skip}>
      Skip to the content
    </a>
  );
}

function Navigation({ page }: { page: string }) {
  const current = useRef<HTMLAnchorElement>(null);
  const here = page === "jobs" ? "#/" : `#/${page}`;
  useEffect(() => {
    // The row of links is wider than the screen of a phone, so the current link may be out of view.
    current.current?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [here]);
  return (
    <nav aria-label="Pages">
      {LINKS.map(([href, label]) => (
        <a
          key={href}
          href={href}
          ref={href === here ? current : undefined}
          aria-current={href === here ? "page" : undefined}
        >
          {label}
        </a>
      ))}
      <a href="/docs" target="_blank" rel="noopener">
        API
      </a>
    </nav>
  );
}
