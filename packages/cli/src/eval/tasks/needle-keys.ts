/** One fact among others of its form (RULER: multi-key needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needleKeys: Task = {
  name: 'needle-keys',
  meaning: 'one number of a name, among the numbers of three others',
  placed: true,
  draw: (draw) => drawNeedles({ asked: 1, others: 3, values: 1 }, draw, draw.depth),
};

export default needleKeys;
