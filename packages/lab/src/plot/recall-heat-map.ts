/** The picture of recall: length across, depth down, a panel a policy, in each cell the mean score. */
import * as Plot from '@observablehq/plot';
import type { TaskAnswer } from '../tasks/answer-task.ts';
import { renderSvg } from './svg.ts';

interface Cell {
  panel: string;
  length: string;
  depth: number;
  share: number;
}

/** The heat map as SVG text. */
export function plotRecall(allAnswers: readonly TaskAnswer[]): string {
  const answers = allAnswers.filter(({ depth }) => depth !== null);
  const cells = new Map<string, { cell: Cell; scores: number; count: number }>();
  for (const { policy, budget, length, depth: place, score } of answers) {
    const depth = place as number;
    const panel = budget === null ? policy : `${policy} ${budget}`;
    const key = JSON.stringify([panel, length, depth]);
    const cell = cells.get(key) ?? {
      cell: { panel, length: length.toLocaleString('en-US'), depth, share: 0 },
      scores: 0,
      count: 0,
    };
    cell.scores += score;
    cell.count += 1;
    cell.cell.share = cell.scores / cell.count;
    cells.set(key, cell);
  }
  const data = [...cells.values()].map(({ cell }) => cell);
  const distinct = <T>(list: readonly T[]) => [...new Set(list)];
  const panels = distinct(data.map(({ panel }) => panel));
  const lengths = distinct(answers.map(({ length }) => length)).sort((a, b) => a - b);
  const depths = distinct(data.map(({ depth }) => depth)).sort((a, b) => a - b);
  return renderSvg({
    width: 90 + panels.length * (24 + lengths.length * 74),
    height: 110 + depths.length * 24,
    marginLeft: 56,
    marginTop: 48,
    marginBottom: 44,
    fx: { domain: panels, label: null, padding: 0.08 },
    x: {
      type: 'band',
      domain: lengths.map((length) => length.toLocaleString('en-US')),
      label: 'tokens',
      padding: 0.04,
    },
    y: { type: 'band', domain: depths, label: 'depth of the fact', tickFormat: '.0%', padding: 0.04 },
    // Light is wrong and dark is right: readable without telling red from green.
    color: { type: 'linear', domain: [0, 1], scheme: 'YlGnBu' },
    marks: [
      Plot.cell(data, { fx: 'panel', x: 'length', y: 'depth', fill: 'share', inset: 0.5 }),
      Plot.text(data, {
        fx: 'panel',
        x: 'length',
        y: 'depth',
        fontSize: 11,
        text: ({ share }: Cell) => `${Math.round(share * 100)} %`,
        fill: ({ share }: Cell) => (share > 0.55 ? '#fff' : '#333'),
      }),
    ],
  });
}
