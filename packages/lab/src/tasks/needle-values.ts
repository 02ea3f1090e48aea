/** All facts about one name (RULER: multi-value needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needleValues: Task = {
  name: 'needle-values',
  meaning: 'all four numbers of one name',
  hasDepth: false,
  draw: (draw) => drawNeedles({ requested: 1, distractors: 0, values: 4 }, draw),
};

export default needleValues;
