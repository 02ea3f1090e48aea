/** What several cards of the page are made of. */
import { useState } from 'preact/hooks';

export const number = (value: number, digits = 0) => value.toLocaleString('en', { maximumFractionDigits: digits });
export const percent = (share: number) => `${number(100 * share, share < 0.01 ? 2 : 1)} %`;
export const megabytes = (bytes: number) => `${number(bytes / 1e6, bytes < 1e8 ? 1 : 0)} MB`;

interface FileButtonProps {
  label: string;
  /** As `accept` of an input. */
  accept: string;
  onFile: (file: File) => unknown;
}

/** Takes a file that is chosen, or dropped on it. */
export function FileButton({ label, accept, onFile }: FileButtonProps) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer?.files[0];
    if (file !== undefined) onFile(file);
  };
  return (
    <label
      class={over ? 'file over' : 'file'}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      {label}, or drop it here
      <input
        type="file"
        accept={accept}
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file !== undefined) onFile(file);
          // So that the same file can be chosen again.
          currentTarget.value = '';
        }}
      />
    </label>
  );
}
