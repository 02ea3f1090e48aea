/** Facts about several names (RULER: multi-query needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needleQueries: Task = {
  name: 'needle-queries',
  meaning: 'the numbers of four names',
  hasDepth: false,
  draw: (draw) => drawNeedles({ requested: 4, distractors: 0, values: 1 }, draw),
};

export default needleQueries;
