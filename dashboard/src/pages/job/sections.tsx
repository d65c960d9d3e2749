// The row of links to the sections of a job. The address contains the chosen section.

import { useEffect, useState } from "preact/hooks";
import { setParameters } from "../../router.ts";

const SECTIONS: [id: string, label: string, needsModel: boolean][] = [
  ["overview", "Overview", false],
  ["charts", "Charts", true],
  ["samples", "Samples", true],
  ["evaluation", "Evaluation", true],
  ["checkpoints", "Checkpoints", true],
  ["submission", "Submission", true],
  ["log", "Log", false],
  ["config", "Config", false],
];

interface Props {
  hasModel: boolean;
  // Whether the job belongs to a track of the challenge.
  hasTrack: boolean;
  wanted: string | null;
  isLoading: boolean;
}

export function Sections({ hasModel, hasTrack, wanted, isLoading }: Props) {
  const [visible, setVisible] = useState("overview");
  const known = SECTIONS.filter(
    ([id, , needsModel]) => (hasModel || !needsModel) && (hasTrack || id !== "submission"),
  );
  useEffect(() => {
    if (wanted && !isLoading) scrollToSection(wanted);
  }, [wanted, isLoading]);
  useEffect(() => {
    const look = () => setVisible(sectionInView(known.map(([id]) => id)));
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, [hasModel, hasTrack]);
  const go = (click: Event, id: string) => {
    click.preventDefault(); // the part of the address after # names the page, not an anchor
    setParameters({ section: id });
    scrollToSection(id);
  };
  return (
    <nav class="sections" aria-label="Sections">
      {known.map(([id, label]) => (
        <a
          key={id}
          href={`${location.hash.split("?")[0]}?section=${id}`}
          aria-current={id === visible ? "true" : undefined}
          onClick={(click) => go(click, id)}
        >
          {label}
        </a>
      ))}
    </nav>
  );
}

function scrollToSection(id: string) {
  document.getElementById(id)?.scrollIntoView({ block: "start" });
}

// The last section that begins in the upper third of the window or above it.
function sectionInView(ids: string[]) {
  const isAbove = (id: string) => {
    const top = document.getElementById(id)?.getBoundingClientRect().top;
    return top !== undefined && top < innerHeight / 3;
  };
  return ids.findLast(isAbove) ?? ids[0];
}
