/** What policies are made of, for tests that go over all of it. */
import type { Eviction } from '../src/evictions/eviction.ts';
import type { PolicyDefinition } from '../src/policies/definition.ts';
import { policyDefinitions } from '../src/policies/registry.ts';
import type { Selector } from '../src/selectors/selector.ts';
import type { Tail } from '../src/tails/tail.ts';

/** The factories of the selectors of some policies, by name. */
export const selectorsOf = (definitions: readonly PolicyDefinition[] = policyDefinitions()) =>
  byName<Selector>(definitions.flatMap((each) => (each.kind === 'sparse' ? [each.selector] : [])));

/** The factories of the tails of some policies, by name. */
export const tailsOf = (definitions: readonly PolicyDefinition[] = policyDefinitions()) =>
  byName<Tail>(definitions.flatMap((each) => (each.kind === 'sparse' ? [each.tail] : [])));

/** The factories of the evictions of some policies, by name. */
export const evictionsOf = (definitions: readonly PolicyDefinition[] = policyDefinitions()) =>
  byName<Eviction>(definitions.flatMap((each) => (each.kind === 'evicting' ? [each.eviction] : [])));

/** Names of the policies that select keys. */
export const sparsePolicyNames = (definitions: readonly PolicyDefinition[] = policyDefinitions()): string[] =>
  definitions.flatMap(({ kind, name }) => (kind === 'sparse' ? [name] : []));

const byName = <T extends { name: string }>(factories: readonly (() => T)[]): Map<string, () => T> =>
  new Map(factories.map((create) => [create().name, create]));
