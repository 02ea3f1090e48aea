/** One fact among others of its form (RULER: multi-key needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needleKeys: Task = {
  name: 'needle-keys',
  meaning: 'one number of a name, among the numbers of three others',
  hasDepth: true,
  draw: (draw) => drawNeedles({ requested: 1, distractors: 3, values: 1 }, draw, draw.depth),
};

export default needleKeys;
