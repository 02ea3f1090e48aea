/** One fact in a long text (RULER: single needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needle: Task = {
  name: 'needle',
  meaning: 'one number in a long text',
  placed: true,
  draw: (draw) => drawNeedles({ asked: 1, others: 0, values: 1 }, draw, draw.depth),
};

export default needle;
