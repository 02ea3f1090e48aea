/** The page of an evaluation as its script draws it, on a document without a browser. */
import { describe, expect, it } from 'vitest';
import { evalFixture } from '../../test/eval-fixture.ts';
import { type OpenPage, openPage } from '../../test/open-page.ts';
import type { TaskAnswer } from '../tasks/answer-task.ts';
import { evalReport } from './eval-report.ts';

const { text, tasks } = evalFixture();
const openBoth = async () => openPage(await evalReport({ text, tasks }));

/** Cells of a table, row by row. */
const rowsOf = ({ document }: OpenPage, table: number): string[][] =>
  [...(document.querySelectorAll('table')[table]?.querySelectorAll('tbody tr') ?? [])].map((row) =>
    [...row.querySelectorAll('td')].map(({ textContent }) => (textContent ?? '').replace('\u00a0', ' ')),
  );

const choose = (page: OpenPage, label: string) =>
  page.fire(
    [...page.document.querySelectorAll('.choices label')]
      .find((each) => each.textContent === label)
      ?.querySelector('input'),
    'change',
  );

describe('the page of an evaluation', () => {
  it('suggests the setting that the command suggests', async () => {
    const page = await openBoth();
    expect(page.text('.tile .value')).toBe('sieve fixed:256');
    expect(page.text('main')).toContain('(95 % interval 0.00547 to 0.00938)');
    expect(page.text('main')).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('lists every setting, the cheap ones first, and points out the suggested one', async () => {
    const page = await openBoth();
    const rows = rowsOf(page, 0);
    expect(rows).toHaveLength(9);
    expect(rows[0]?.[0]).toBe('window fixed:64');
    const bytes = rows.map((row) => Number(row[3]));
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    expect(page.texts('tr.strong td')[0]).toBe('sieve fixed:256 ◀');
    expect(rows.filter((row) => row[1] === 'yes').map(([name]) => name)).toEqual([
      'sieve fixed:256 ◀',
      'sieve fixed:1024',
    ]);
  });

  it('suggests another setting for another limit, and for another cost', async () => {
    const page = await openBoth();
    await choose(page, '0.1');
    expect(page.texts('tr.strong td')[0]).toBe('sieve fixed:64 ◀');
    await choose(page, '0.001');
    expect(page.texts('tr.strong td')).toEqual([]);
    expect(page.text('main')).toContain('None of these settings');
    await choose(page, '0.03');
    await choose(page, 'time');
    const times = rowsOf(page, 0).map((row) => Number(row[4]));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it('shows the trade against bytes and against time', async () => {
    const page = await openBoth();
    const labels = [...page.document.querySelectorAll('.chart svg')].map((chart) => chart.getAttribute('aria-label'));
    expect(labels).toHaveLength(2);
    expect(page.texts('.legend li')).toEqual(['sieve', 'quest', 'window', 'dense']);
  });

  it('shows the errors of the layer that is chosen', async () => {
    const page = await openBoth();
    const [first] = page.document.querySelectorAll('.heat-cells button');
    await page.fire(first, 'click');
    expect(page.text('main')).toContain('sieve fixed:64, layer 0: error');
  });

  it('shows scores by length, of all tasks or of one', async () => {
    const page = await openBoth();
    expect(rowsOf(page, 1)[0]).toEqual(['dense', '100 %', '75 %', '99']);
    await choose(page, 'variables');
    expect(rowsOf(page, 1)[0]).toEqual(['dense', '50 %', '0 %', '99']);
  });

  it('has only tasks where no text was evaluated, and counts their questions', async () => {
    const answer = (repetition: number): TaskAnswer =>
      ({ task: 'needle', length: 1024, depth: 0, repetition }) as TaskAnswer;
    const page = await openPage(await evalReport({ tasks: { ...tasks, answers: [answer(0), answer(0), answer(1)] } }));
    expect(page.document.querySelectorAll('.chart')).toHaveLength(0);
    expect(page.text('main')).toContain('2 questions');
  });

  it('has only the text where no tasks were asked', async () => {
    const page = await openPage(await evalReport({ text }));
    expect(page.document.querySelectorAll('table')).toHaveLength(1);
    expect(page.text('main')).not.toContain('tasks ask for');
  });

  it('shows names as text, whatever is in them', async () => {
    const nasty = { ...text, text: { ...text.text, name: '<img src=x>.txt' } };
    const page = await openPage(await evalReport({ text: nasty }));
    expect(page.document.querySelectorAll('img')).toHaveLength(0);
    expect(page.text('main')).toContain('<img src=x>.txt');
  });

  it('compares tasks with the row of dense attention only where there is one', async () => {
    const html = (policies: typeof tasks.policies) => evalReport({ tasks: { ...tasks, policies } });
    const withDense = await openPage(await html(tasks.policies));
    expect(withDense.text('main')).toContain('compare with its row');
    expect(rowsOf(withDense, 0)[0]?.[0]).toBe('dense');
    const others = tasks.policies.filter(({ policy }) => policy !== 'dense');
    // Another policy without a budget is not dense attention either.
    const int8 = { ...others[0], policy: 'int8-cache', budget: null } as (typeof others)[number];
    const without = await openPage(await html([int8, ...others]));
    expect(without.text('main')).not.toContain('its row');
    expect(without.text('main')).toContain('Dense attention was not asked');
    expect(without.text('.card h2')).not.toContain('ense attention');
  });
});
