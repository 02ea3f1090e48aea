/** A module of policies that a worker thread cannot import: see `registry.test.ts`. */
import { isMainThread } from 'node:worker_threads';
import type { PolicyModule } from '../src/extend.ts';

if (!isMainThread) throw new Error('not here');

const createPolicies: PolicyModule = ({ createNone, createWindow }) => [
  { kind: 'sparse', name: 'failing', meaning: 'nothing', selector: createWindow, tail: createNone },
];

export default createPolicies;
