/** The parts that reports are made of: sections, tiles with one number each, tables, legends, choices. */
import type { ComponentChildren } from 'preact';

/** A section: its title says what is to be seen in it. */
export function Card({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="card">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

export interface Tile {
  value: string;
  /** What the number is, with its unit. */
  label: ComponentChildren;
}

/** The numbers that one should see first. */
export function Tiles({ tiles }: { tiles: readonly Tile[] }) {
  return (
    <div class="tiles">
      {tiles.map(({ value, label }) => (
        <div class="tile" key={value}>
          <div class="value">{value}</div>
          <div class="label">{label}</div>
        </div>
      ))}
    </div>
  );
}

export interface Column {
  name: string;
  /** Aligned to the right. */
  number?: boolean;
}

export interface TableProps {
  caption?: string;
  columns: readonly Column[];
  rows: readonly (readonly ComponentChildren[])[];
  /** Rows to point out. */
  strong?: readonly number[];
}

/** A table that scrolls by itself where the page is narrow: long names in its first column wrap before it does. */
export function Table({ caption, columns, rows, strong = [] }: TableProps) {
  const align = (column: Column | undefined) => (column?.number ? 'number' : undefined);
  return (
    <>
      {caption !== undefined && <p class="small muted">{caption}</p>}
      <div class="table">
        <table>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column.name} scope="col" class={align(column)}>
                  {column.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <tr key={i} class={strong.includes(i) ? 'strong' : undefined}>
                {row.map((cell, j) => (
                  <td key={columns[j]?.name} class={align(columns[j])}>
                    {cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

export interface LegendEntry {
  label: string;
  /** A colour of the theme: `var(--blue)`. */
  color: string;
  shape?: 'line' | 'dashed' | 'block';
}

/** What the colours of a chart mean. */
export function Legend({ entries }: { entries: readonly LegendEntry[] }) {
  return (
    <ul class="legend">
      {entries.map(({ label, color, shape = 'line' }) => (
        <li key={label}>
          <span class={`key ${shape}`} style={shape === 'block' ? { background: color } : { borderColor: color }} />
          {label}
        </li>
      ))}
    </ul>
  );
}

export interface ChoiceProps<T extends string> {
  /** What is chosen. */
  label: string;
  /** Name of the group of buttons: no other on the page may have it. */
  name: string;
  options: readonly { value: T; label: string }[];
  value: T;
  onChange(value: T): void;
}

/** One of a few, as buttons that the keyboard reaches. */
export function Choice<T extends string>({ label, name, options, value, onChange }: ChoiceProps<T>) {
  return (
    <fieldset class="choices">
      <legend>{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}
