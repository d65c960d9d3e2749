// Buttons, choices and menus.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { announce } from "../lib/state.ts";
import { say } from "./dialog.tsx";

type ButtonProps = Omit<JSX.ButtonHTMLAttributes<HTMLButtonElement>, "onClick"> & {
  act: (event: MouseEvent) => unknown;
  children: ComponentChildren;
};

// A button that is disabled while its asynchronous action runs. If the action's promise is
// rejected, except by an AbortError, a dialog shows the error.
export function Button({ act, children, disabled, ...rest }: ButtonProps) {
  const [isBusy, setBusy] = useState(false);
  const press = async (event: MouseEvent) => {
    const result = guarded(() => act(event));
    if (!(result instanceof Promise)) return;
    setBusy(true);
    await result;
    setBusy(false);
  };
  return (
    <button type="button" disabled={isBusy || Boolean(disabled)} {...rest} onClick={press}>
      {children}
    </button>
  );
}

async function reported(promise: Promise<unknown>) {
  try {
    await promise;
  } catch (error) {
    if ((error as Error).name !== "AbortError") {
      await say("The action failed", (error as Error).message);
    }
  }
}

// Runs an action. If the action fails, a dialog shows the error.
export function guarded(act: () => unknown): unknown {
  const result = act();
  return result instanceof Promise ? reported(result) : result;
}

export function CopyButton({ text, label = "Copy" }: { text: () => string; label?: string }) {
  const [shown, setShown] = useState(label);
  const copy = async () => {
    let answer = "Copied";
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      answer = "Select the text to copy it"; // an insecure origin has no clipboard
    }
    setShown(answer);
    announce(answer);
    setTimeout(() => setShown(label), 1600);
  };
  return (
    <Button class="quiet" act={copy}>
      {shown}
    </Button>
  );
}

type NameProps = Omit<JSX.InputHTMLAttributes<HTMLInputElement>, "onChange"> & {
  label: string;
  value: string;
  onChange: (name: string) => void;
};

// A text field for the name of a dataset or of an evaluation task.
export function NameField({ label, onChange, ...rest }: NameProps) {
  return (
    <label>
      {label}
      <input
        type="text"
        autocomplete="off"
        spellcheck={false}
        {...rest}
        onInput={(event) => onChange(event.currentTarget.value.trim())}
      />
    </label>
  );
}

interface CheckMenuProps {
  label: string;
  items: { key: string; title: string }[];
  chosen: string[];
  // Receives the chosen keys in the order in which they were chosen.
  choose: (keys: string[]) => void;
}

// A menu of checkboxes.
export function CheckMenu({ label, items, chosen, choose }: CheckMenuProps) {
  const toggle = (key: string) =>
    choose(chosen.includes(key) ? chosen.filter((one) => one !== key) : [...chosen, key]);
  return (
    <Menu label={label} stays>
      {items.map(({ key, title }) => (
        <label key={key} class="inline menu-item">
          <input type="checkbox" checked={chosen.includes(key)} onChange={() => toggle(key)} />
          {title}
        </label>
      ))}
    </Menu>
  );
}

export interface Choice<T> {
  value: T;
  label: ComponentChildren;
  note?: string;
}

interface ChoicesProps<T> {
  label: string;
  value: T;
  options: Choice<T>[];
  onChange: (value: T) => void;
}

export function Choices<T extends string>({ label, value, options, onChange }: ChoicesProps<T>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out inline everywhere
    <div class="choices" role="group" aria-label={label}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.label}
          {option.note && <small>{option.note}</small>}
        </button>
      ))}
    </div>
  );
}

interface MenuProps {
  label: ComponentChildren;
  name?: string;
  class?: string;
  // Keeps the menu open after a press inside.
  stays?: boolean;
  children: ComponentChildren;
}

// A button that opens a list of actions. The list closes on Escape, on a press outside, and when
// the focus moves outside.
export function Menu({ label, name, class: kind = "", stays = false, children }: MenuProps) {
  const [isOpen, setOpen] = useState(false);
  const host = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!isOpen) return;
    const outside = (event: Event) => {
      if (!host.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, [isOpen]);
  const onKeyDown = (key: KeyboardEvent) => {
    if (key.key !== "Escape" || !isOpen) return;
    setOpen(false);
    opener.current?.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: closes on Escape pressed in any child
    <div class="menu" ref={host} onKeyDown={onKeyDown}>
      <button
        ref={opener}
        type="button"
        class={kind}
        aria-expanded={isOpen}
        aria-label={name}
        onClick={() => setOpen(!isOpen)}
      >
        {label}
      </button>
      {isOpen && (
        // biome-ignore lint/a11y/noStaticElementInteractions: the buttons inside are the controls
        // biome-ignore lint/a11y/useKeyWithClickEvents: a key press on a button is a click
        <div class="menu-list" onClick={() => !stays && setOpen(false)}>
          {children}
        </div>
      )}
    </div>
  );
}
