/**
 * Keysieve's interfaces for policies of your own: selectors, tails and evictions, registered by `registerPolicies`. They
 * follow the inner workings of the attention and may change with any version.
 */
export * from './policies/extension-api.ts';
export type { ExtensionApi, PolicyModule } from './policies/registry.ts';
