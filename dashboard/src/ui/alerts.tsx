// The drawer with the alerts of all jobs. It is open if the address of the page has `drawer`.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Alert } from "../api/types.ts";
import {
  addressOf,
  alerts,
  isNewer,
  lookForAlerts,
  markRead,
  readUntil,
  unread,
} from "../lib/alerts.ts";
import { ago, sentence } from "../lib/format.ts";
import { route, setParameters } from "../router.ts";
import { Marked } from "./marks.tsx";

const DRAWER = "alerts";
const MOST = 99;

export function AlertsButton() {
  const number = unread.value;
  const label = number ? `Alerts, ${number} unread` : "Alerts";
  return (
    <button
      id="alerts"
      class="quiet"
      type="button"
      aria-label={label}
      title={label}
      onClick={() => setParameters({ drawer: DRAWER })}
    >
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path
          d="M8 1.6a4.2 4.2 0 0 0-4.2 4.2c0 3.4-1.3 4.6-1.9 5.2h12.2c-.6-.6-1.9-1.8-1.9-5.2A4.2 4.2 0 0 0 8 1.6zM6.5 13.2a1.6 1.6 0 0 0 3 0"
          fill="none"
          stroke="currentColor"
          stroke-width="1.4"
          stroke-linejoin="round"
        />
      </svg>
      {number > 0 && <span class="count">{number > MOST ? `${MOST}+` : number}</span>}
    </button>
  );
}

export function AlertsDrawer() {
  const isOpen = route.value.parameters.get("drawer") === DRAWER;
  return isOpen ? <Drawer /> : null;
}

function Drawer() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [before] = useState(readUntil.value); // what was read before the drawer opened
  const all = alerts.value;
  useEffect(() => {
    dialog.current?.showModal();
    lookForAlerts();
  }, []);
  useEffect(() => markRead(), [all]);
  const close = () => setParameters({ drawer: null });
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog
    <dialog
      ref={dialog}
      class="drawer"
      aria-labelledby="drawer-title"
      onClose={close}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div class="card-head">
        <h2 id="drawer-title">Alerts</h2>
        <button type="button" class="quiet" aria-label="Close the alerts" onClick={close}>
          ✕
        </button>
      </div>
      {all?.length === 0 && <p class="soft">No job has failed or given a warning.</p>}
      <ul class="alerts">
        {all?.map((alert) => (
          <AlertItem
            key={`${alert.job_id} ${alert.kind} ${alert.code}`}
            alert={alert}
            isNew={isNewer(alert.time, before)}
          />
        ))}
      </ul>
    </dialog>
  );
}

const LEVELS = { info: "Note", warn: "Warning", error: "Error" };

function AlertItem({ alert, isNew }: { alert: Alert; isNew: boolean }) {
  const { kind, level, job_name: name, message, hint, time, times } = alert;
  const title = kind === "failure" ? "Failed" : LEVELS[level];
  return (
    <li class={`alert ${level}`}>
      <a href={addressOf(alert)}>
        <span class="bar spread">
          <b>
            {title}
            {isNew && <span class="fresh">new</span>}
          </b>
          <small class="soft">{ago(time)}</small>
        </span>
        <span class="alert-job">{name}</span>
        <span class="alert-text">
          <Marked hasLinks={false}>{sentence(message)}</Marked>
          {times > 1 && ` (${times} times)`}
        </span>
        {hint && (
          <small class="soft">
            <Marked hasLinks={false}>{hint}</Marked>
          </small>
        )}
      </a>
    </li>
  );
}
