// Texts of the service: shows the parts between backticks as code, and addresses as links.

const MARKS = /(https:\/\/[^\s,]+|`[^`]+`)/;
const CODE = /(`[^`]+`)/;

interface Props {
  children: string | null | undefined;
  // false if the text is inside a link, which must not contain another one.
  hasLinks?: boolean;
}

export function Marked({ children, hasLinks = true }: Props) {
  const parts = (children ?? "").split(hasLinks ? MARKS : CODE);
  return (
    <>
      {parts.map((part, index) => {
        if (part.startsWith("`")) return <code key={index}>{part.slice(1, -1)}</code>;
        if (!hasLinks || !part.startsWith("https:")) return part;
        return (
          <a key={index} href={part} rel="noreferrer">
            {part}
          </a>
        );
      })}
    </>
  );
}
