/** A heat map whose cells can be pointed at, tapped, and reached by the keyboard. */
import * as Plot from '@observablehq/plot';
import { useRef } from 'preact/hooks';

export interface HeatMapProps {
  title: string;
  rows: number;
  columns: number;
  rowName: string;
  /** What stands beside the rows. Default: their numbers. */
  rowLabels?: readonly string[];
  columnName: string;
  /** NaN: nothing to show. */
  value(row: number, column: number): number;
  format(value: number): string;
  /** Ends of the scale of colours; values beyond them have the colour of the end. */
  domain: [from: number, to: number];
  logarithmic?: boolean;
  selected: { row: number; column: number };
  onSelect(row: number, column: number): void;
}

/** A table of coloured buttons: one of them is in the order of the tabulator key, arrow keys go to the others. */
export function HeatMap(props: HeatMapProps) {
  const { title, rows, columns, rowName, rowLabels, columnName, value, format, domain, selected, onSelect } = props;
  const grid = useRef<HTMLFieldSetElement>(null);
  const color = colorScale(props);
  const go = (row: number, column: number) => {
    if (row < 0 || row >= rows || column < 0 || column >= columns) return;
    onSelect(row, column);
    (grid.current?.children[row * columns + column] as HTMLElement | undefined)?.focus({ preventScroll: true });
  };
  const steps: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  const cells = Array.from({ length: rows * columns }, (_, i) => ({
    row: Math.floor(i / columns),
    column: i % columns,
  }));
  const gradient = Array.from({ length: 9 }, (_, i) => color(between(props, i / 8)));
  return (
    <figure class={rowLabels === undefined ? 'heat-map' : 'heat-map named'}>
      <figcaption>{title}</figcaption>
      <div class="heat-frame">
        <div class="heat-rows" style={{ gridTemplateRows: `repeat(${rows}, 1fr)` }} aria-hidden="true">
          {Array.from({ length: rows }, (_, row) => (
            <span key={row}>{rowLabels?.[row] ?? (labelled(row, rows) ? row : '')}</span>
          ))}
        </div>
        <fieldset
          ref={grid}
          class="heat-cells"
          style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}
          aria-label={title}
        >
          {cells.map(({ row, column }) => {
            const cellValue = value(row, column);
            const isSelected = row === selected.row && column === selected.column;
            return (
              <button
                key={row * columns + column}
                type="button"
                tabIndex={isSelected ? 0 : -1}
                class={isSelected ? 'selected' : undefined}
                style={{ background: Number.isNaN(cellValue) ? 'var(--line)' : color(cellValue) }}
                aria-label={`${rowLabels?.[row] ?? `${rowName} ${row}`}, ${columnName} ${column}: ${Number.isNaN(cellValue) ? 'none' : format(cellValue)}`}
                onPointerEnter={({ pointerType }) => pointerType === 'mouse' && onSelect(row, column)}
                onClick={() => onSelect(row, column)}
                onFocus={() => !isSelected && onSelect(row, column)}
                onKeyDown={(event) => {
                  const step = steps[event.key];
                  if (step === undefined) return;
                  event.preventDefault();
                  go(row + step[0], column + step[1]);
                }}
              />
            );
          })}
        </fieldset>
      </div>
      <div class="heat-axis">
        <span>↓ {rowName}</span>
        <span>{columnName} →</span>
      </div>
      <div class="heat-scale" aria-hidden="true">
        <span>{format(domain[0])}</span>
        <span class="bar" style={{ background: `linear-gradient(to right, ${gradient.join(', ')})` }} />
        <span>{format(domain[1])}</span>
      </div>
    </figure>
  );
}

/** Viridis: as readable on light as on dark ground, and to all eyes. */
function colorScale({ domain, logarithmic }: HeatMapProps): (value: number) => string {
  const scale = Plot.scale({
    color: { type: logarithmic ? 'log' : 'linear', domain, scheme: 'viridis', clamp: true },
  });
  return (value) => scale.apply(value) as string;
}

/** A value by its share of the scale. */
function between({ domain: [from, to], logarithmic }: HeatMapProps, share: number): number {
  return logarithmic ? from * (to / from) ** share : from + share * (to - from);
}

/** Not every row has room for its number. */
const labelled = (row: number, rows: number): boolean => rows <= 12 || row % 5 === 0;
