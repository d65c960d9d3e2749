// Lines of a file before and after cleaning.

export interface PreviewLine {
  raw: string;
  cleaned: string | null;
}

export function Lines({ lines }: { lines: PreviewLine[] }) {
  return (
    <div class="lines">
      <div class="head">In the file</div>
      <div class="head">After cleaning</div>
      {lines.map(({ raw, cleaned }) => (
        <>
          <div>{raw}</div>
          {cleaned ? <div>{cleaned}</div> : <div class="gone">dropped</div>}
        </>
      ))}
    </div>
  );
}
