/**
 * The policies that there are: those of this package and those that were registered. Worker threads have a registry of
 * their own, and import again what was registered here.
 */
import { KeysieveError } from '../errors.ts';
import { CORE_POLICIES } from './core-policies.ts';
import type { PolicyDefinition } from './definition.ts';
import * as extensionApi from './extension-api.ts';

/** What a module of policies is handed: see `keysieve/extend`. */
export type ExtensionApi = typeof extensionApi;

/** The default export of a module of policies. It makes them with the functions it is handed, whichever thread it is in. */
export type PolicyModule = (api: ExtensionApi) => readonly PolicyDefinition[];

const definitions = new Map<string, PolicyDefinition>(CORE_POLICIES.map((each) => [each.name, each]));
/** Modules by their URL, as promises that are fulfilled when their policies are there. */
const modules = new Map<string, Promise<void>>();
const registeredModules: string[] = [];

/** The names of all policies: of this package, then of the registered ones, in order. */
export const policyNames = (): string[] => [...definitions.keys()];

/** Everything that is known of all policies, in the order of `policyNames`. */
export const policyDefinitions = (): PolicyDefinition[] => [...definitions.values()];

/** The definition of the policy of that name. Throws `invalid-argument` where there is none. */
export function policyDefinition(name: string): PolicyDefinition {
  const definition = definitions.get(name);
  if (definition !== undefined) return definition;
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: 'Unknown attention policy.',
    found: name,
    remedy: `Choose one of ${policyNames().join(', ')}.`,
  });
}

/**
 * Imports a module of policies and adds them, here and in the worker threads of every `Attention`. The module's default
 * export is a `PolicyModule`. Its URL must lead to the same module in a worker: give it as
 * `new URL('./policies.mjs', import.meta.url)`. Registering a module again does nothing.
 *
 * Throws `invalid-argument` where the module is neither a file nor of the page's origin, has no default export, or has a
 * policy whose name is taken, and whatever importing it throws.
 */
export function registerPolicies(moduleUrl: URL | string): Promise<void> {
  const url = new URL(moduleUrl);
  const registered = modules.get(url.href) ?? importPolicies(url);
  modules.set(url.href, registered);
  registered.catch(() => modules.delete(url.href));
  return registered;
}

/** URLs of the registered modules, in order. */
export const policyModules = (): readonly string[] => registeredModules;

async function importPolicies(url: URL): Promise<void> {
  checkOrigin(url);
  const { default: create } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ url.href)) as {
    default?: PolicyModule;
  };
  if (typeof create !== 'function') {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'A module of policies has a default export, a function that returns their definitions.',
      found: url.href,
      remedy: 'Export one: see registerPolicies.',
    });
  }
  const added = create(extensionApi);
  for (const [i, { name }] of added.entries()) {
    if (!definitions.has(name) && added.findIndex((other) => other.name === name) === i) continue;
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'The name of this policy is taken.',
      found: `${name}, of ${url.href}`,
      remedy: 'Give it another name.',
    });
  }
  for (const definition of added) definitions.set(definition.name, definition);
  registeredModules.push(url.href);
}

/** Throws `invalid-argument` unless the module is a file or comes from where this page comes from. */
function checkOrigin(url: URL): void {
  const { location } = globalThis as { location?: { origin: string } };
  if (url.protocol === 'file:' || (location !== undefined && url.origin === location.origin)) return;
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: 'Policies are imported from files, or from the origin of the page.',
    found: url.href,
    remedy: "Give the URL of a module of yours, such as new URL('./policies.mjs', import.meta.url).",
  });
}
