/** Policies of the literature, to compare with: they register themselves through the interfaces that core gives to all. */
import { registerPolicies } from 'keysieve';

/**
 * Adds the baselines to the policies of this process: `sign`, `quest`, `twilight`, `dense-int8`, `dense-int4`, `h2o`,
 * `snapkv` and `tova`. Calling it again does nothing.
 */
export const registerBaselines = (): Promise<void> => registerPolicies(MODULE);

/** From the sources the module is TypeScript; built it is an entry of its own, since worker threads import it too. */
const MODULE = new URL(import.meta.url.endsWith('.ts') ? './policies.ts' : './baselines.mjs', import.meta.url);
