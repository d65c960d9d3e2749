// Questions in a modal dialog of the page.

import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface Question {
  detail?: string;
  fault?: string;
  confirm?: string;
  danger?: boolean;
  input?: { label: string; type?: string; value?: string; mayBeEmpty?: boolean };
  mayRefuse?: boolean;
  // Label of the button that cancels.
  refuse?: string;
}

type Answer = string | boolean;

// Resolves to false, true, or the text that was entered.
export function ask(question: string, options: Question = {}): Promise<Answer> {
  return new Promise((resolve) => {
    const host = document.createElement("div");
    document.body.append(host);
    const done = (answer: Answer) => {
      render(null, host);
      host.remove();
      resolve(answer);
    };
    render(<Dialog question={question} options={options} onDone={done} />, host);
  });
}

export function say(title: string, detail: string) {
  return ask(title, { detail, confirm: "OK", mayRefuse: false });
}

interface Props {
  question: string;
  options: Question;
  onDone: (answer: Answer) => void;
}

function Dialog({ question, options, onDone }: Props) {
  const {
    detail,
    fault,
    confirm = "OK",
    danger,
    input,
    mayRefuse = true,
    refuse = "Cancel",
  } = options;
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => {
    const isYes = dialog.current?.returnValue === "yes";
    onDone(isYes && (input ? (field.current?.value ?? "") : true));
  };
  // By default, Enter in the field would press the first button, which cancels.
  const onKeyDown = (key: KeyboardEvent) => {
    if (key.key !== "Enter") return;
    key.preventDefault();
    if (field.current?.value || input?.mayBeEmpty) dialog.current?.close("yes");
  };
  return (
    <dialog ref={dialog} aria-labelledby="question" onClose={close}>
      <form method="dialog">
        <h2 id="question">{question}</h2>
        {detail && <p class="soft">{detail}</p>}
        {fault && (
          <p class="notice error" role="alert">
            {fault}
          </p>
        )}
        {input && (
          <label>
            {input.label}
            <input
              ref={field}
              type={input.type ?? "text"}
              defaultValue={input.value}
              autocomplete="off"
              onKeyDown={onKeyDown}
            />
          </label>
        )}
        <div class="bar end">
          {mayRefuse && (
            <button value="" type="submit" formNoValidate>
              {refuse}
            </button>
          )}
          <button value="yes" type="submit" class={danger ? "danger solid" : "primary"}>
            {confirm}
          </button>
        </div>
      </form>
    </dialog>
  );
}
