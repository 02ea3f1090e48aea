/** The page of a law as its script draws it, on a document without a browser. */
import { beforeEach, describe, expect, it } from 'vitest';
import { lawFixture } from '../../test/law-fixture.ts';
import { type OpenPage, openPage } from '../../test/open-page.ts';
import { lawReport } from './law-report.ts';

const law = lawFixture({ layers: 4, heads: 3 });

describe('the page of a law', () => {
  let page: OpenPage;
  const cell = (name: string) =>
    [...page.document.querySelectorAll('.heat-cells button')].find((button) =>
      button.getAttribute('aria-label')?.startsWith(name),
    );
  const choose = (group: number, label: string) => {
    const fieldset = page.document.querySelectorAll('fieldset.choices')[group];
    const input = [...(fieldset?.querySelectorAll('label') ?? [])]
      .find((each) => each.textContent?.replace('\u00a0', ' ') === label)
      ?.querySelector('input');
    return page.fire(input, 'change');
  };

  beforeEach(async () => {
    page = await openPage(await lawReport(law));
  });

  it('says what was measured, and sums it up', () => {
    expect(page.text('h1')).toBe('How many keys invented needs');
    expect(page.text('main')).toContain(
      '4 layers of 3 heads · war-and-peace.txt, middlemarch.txt · up to 8,192 tokens',
    );
    expect(page.texts('.tile .value')).toHaveLength(4);
    expect(page.text('main')).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('counts keys in one way: what it predicts for longer contexts goes on from what was measured', () => {
    const count = (text: string) => Number(text.replace(/[^\d]/g, ''));
    const [measured = '', , predicted = ''] = page.texts('.tile .value');
    const budgets = [...page.document.querySelectorAll('table')][1];
    const predictions = [...(budgets?.querySelectorAll('tbody tr') ?? [])].map((row) =>
      count(row.querySelectorAll('td')[1]?.textContent ?? ''),
    );
    const all = [count(measured), ...predictions];
    expect(predictions).toContain(count(predicted));
    expect(all).toEqual([...all].sort((a, b) => a - b));
    // Each of them says that it is a mean.
    expect(page.texts('.tile .label').filter((label) => /averaged over heads|this mean/.test(label))).toHaveLength(3);
  });

  it('draws its charts, with a label for who does not see them', () => {
    const charts = [...page.document.querySelectorAll('.chart svg')];
    expect(charts.length).toBeGreaterThanOrEqual(3);
    for (const chart of charts) {
      expect(chart.getAttribute('role')).toBe('img');
      expect(chart.getAttribute('aria-label')?.length).toBeGreaterThan(20);
      expect(chart.outerHTML).not.toMatch(/NaN|undefined/);
    }
  });

  it('has a cell for every head in each map, with its value', () => {
    const cells = [...page.document.querySelectorAll('.heat-cells button')];
    expect(cells.length % 12).toBe(0);
    const [first] = law.heads;
    const C = first?.laws.find(({ criterion, share }) => criterion === 'mass' && share === 0.05)?.fit.C ?? 0;
    const [name, value] = cells[0]?.getAttribute('aria-label')?.split(': ') ?? [];
    expect(name).toBe('layer 0, head 0');
    expect(Math.abs(Number(value) - C)).toBeLessThan(0.06);
  });

  it('shows the head that is pointed at, clicked, or reached by the arrow keys', async () => {
    await page.fire(cell('layer 2, head 1:'), 'pointerenter', { pointerType: 'mouse' });
    expect(page.text('.head-panel h3')).toContain('Layer 2, head 1');
    await page.fire(cell('layer 0, head 2:'), 'click');
    expect(page.text('.head-panel h3')).toContain('Layer 0, head 2');
    await page.fire(cell('layer 0, head 2:'), 'keydown', { key: 'ArrowDown' });
    expect(page.text('.head-panel h3')).toContain('Layer 1, head 2');
    // Off the edge it stays where it is.
    await page.fire(cell('layer 1, head 2:'), 'keydown', { key: 'ArrowRight' });
    expect(page.text('.head-panel h3')).toContain('Layer 1, head 2');
  });

  it('does not follow a finger that only passes over a cell', async () => {
    const before = page.text('.head-panel h3');
    await page.fire(cell('layer 3, head 0:'), 'pointerenter', { pointerType: 'touch' });
    expect(page.text('.head-panel h3')).toBe(before);
  });

  it('shows the laws for another criterion and share', async () => {
    const before = page.text('.head-panel p');
    await choose(0, 'output error, rest dropped');
    const dropped = page.text('.head-panel p');
    expect(dropped).not.toBe(before);
    await choose(1, '1 %');
    expect(page.text('.head-panel p')).not.toBe(dropped);
  });

  it('lists the kinds of heads, the predictions, and how laws were extrapolated', () => {
    const tables = [...page.document.querySelectorAll('table')].map((table) =>
      [...table.querySelectorAll('tbody tr')].map((row) => row.querySelector('td')?.textContent),
    );
    expect(tables[0]).toEqual(['sink', 'local', 'retrieval', 'diffuse']);
    expect(tables[1]).toEqual(['32K', '128K', '1M']);
    expect(tables[2]?.length).toBe(8);
  });
});
