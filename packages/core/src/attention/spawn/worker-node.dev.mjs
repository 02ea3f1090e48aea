// Runs worker-node.ts from the sources, for tests: never part of the package.
import { register } from 'tsx/esm/api';

register();
await import('./worker-node.ts');
