/** All facts about one name (RULER: multi-value needle). */
import { drawNeedles } from './needles.ts';
import type { Task } from './task.ts';

const needleValues: Task = {
  name: 'needle-values',
  meaning: 'all four numbers of one name',
  placed: false,
  draw: (draw) => drawNeedles({ asked: 1, others: 0, values: 4 }, draw),
};

export default needleValues;
