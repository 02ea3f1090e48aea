/** A module of policies with a name that is taken: see `registry.test.ts`. */
import type { PolicyModule } from '../src/extend.ts';

const createPolicies: PolicyModule = ({ createNone, createWindow }) => [
  { kind: 'sparse', name: 'first', meaning: 'the first keys and the last', selector: createWindow, tail: createNone },
  { kind: 'sparse', name: 'window', meaning: 'the first keys and the last', selector: createWindow, tail: createNone },
];

export default createPolicies;
