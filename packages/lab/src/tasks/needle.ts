/** One fact in a long text (RULER: single needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needle: Task = {
  name: 'needle',
  meaning: 'one number in a long text',
  hasDepth: true,
  draw: (draw) => drawNeedles({ requested: 1, distractors: 0, values: 1 }, draw, draw.depth),
};

export default needle;
