// The log of a job: followed, searched, and filtered by level.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { followLog } from "../../api/stream.ts";
import { Card } from "../../ui/card.tsx";

const LEVELS = ["all lines", "warnings and errors", "errors"];
const KINDS = ["", "warning", "error"];
const MAX_LINES = 5000;
const NEAR_END = 12;

interface Line {
  number: number;
  text: string;
  level: number;
}

function levelOf(line: string, before: number) {
  const level = /\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b/.exec(line.slice(0, 60))?.[1];
  if (!level) return before; // a further line of the same entry, such as a traceback
  if (level === "ERROR" || level === "CRITICAL") return 2;
  return level === "WARNING" ? 1 : 0;
}

class Lines {
  all = signal<Line[]>([]);
  private rest = "";
  private count = 0;

  start() {
    this.all.value = [];
    this.rest = "";
  }

  add(text: string) {
    const parts = (this.rest + text).split("\n");
    this.rest = parts.pop()!;
    const lines = [...this.all.value];
    for (const part of parts) {
      this.count += 1;
      const level = levelOf(part, lines.at(-1)?.level ?? 0);
      lines.push({ number: this.count, text: part, level });
    }
    this.all.value = lines.slice(-MAX_LINES);
  }
}

export function Log({ id }: { id: string }) {
  const lines = useMemo(() => new Lines(), [id]);
  const [search, setSearch] = useState("");
  const [level, setLevel] = useState(0);
  const [isFollowed, setFollowed] = useState(true);
  useEffect(() => {
    const controller = new AbortController();
    const { signal: abort } = controller;
    const onText = (text: string) => lines.add(text);
    followLog(id, { signal: abort, onStart: () => lines.start(), onText });
    return () => controller.abort();
  }, [id]);
  const tools = (
    <div class="log-tools">
      <label class="inline">
        <input
          type="checkbox"
          checked={isFollowed}
          onChange={(event) => setFollowed(event.currentTarget.checked)}
        />
        Follow
      </label>
      <select
        aria-label="Lines shown"
        value={level}
        onChange={(event) => setLevel(Number(event.currentTarget.value))}
      >
        {LEVELS.map((name, index) => (
          <option key={name} value={index}>
            {name}
          </option>
        ))}
      </select>
      <input
        type="search"
        placeholder="Search the log"
        aria-label="Search the log"
        onInput={(event) => setSearch(event.currentTarget.value.trim().toLowerCase())}
      />
    </div>
  );
  return (
    <Card title="Log" id="log" class="section" actions={tools}>
      <LogView {...{ lines, search, level, isFollowed, setFollowed }} />
    </Card>
  );
}

interface ViewProps {
  lines: Lines;
  search: string;
  level: number;
  isFollowed: boolean;
  setFollowed: (isFollowed: boolean) => void;
}

function LogView({ lines, search, level, isFollowed, setFollowed }: ViewProps) {
  const view = useRef<HTMLDivElement>(null);
  const all = lines.all.value;
  const shown = all.filter(
    (line) => line.level >= level && (!search || line.text.toLowerCase().includes(search)),
  );
  useEffect(() => {
    if (isFollowed && view.current) view.current.scrollTop = view.current.scrollHeight;
  });
  // Scrolling up stops following; scrolling to the end starts following again.
  const onScroll = () => {
    const { scrollTop, clientHeight, scrollHeight } = view.current!;
    setFollowed(scrollTop + clientHeight >= scrollHeight - NEAR_END);
  };
  return (
    <div
      ref={view}
      class="log"
      role="log"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
      tabIndex={0}
      aria-label="Log"
      aria-live="off"
      onScroll={onScroll}
    >
      {shown.map((line) => (
        <div key={line.number} class={KINDS[line.level]}>
          {marked(line.text, search)}
        </div>
      ))}
      {!shown.length && (
        <div class="soft">{all.length ? "No matching line." : "The log is empty."}</div>
      )}
    </div>
  );
}

function marked(text: string, search: string) {
  if (!search) return text;
  const lower = text.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(search); at >= 0; at = lower.indexOf(search, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + search.length)}</mark>);
    from = at + search.length;
  }
  return [...parts, text.slice(from)];
}
