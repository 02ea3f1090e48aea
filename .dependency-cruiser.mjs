/**
 * How modules may import each other, by `npm run lint:imports`: in no circle, type-only imports and folders included,
 * and one way through the packages: cli to server and sweep, sweep to lab, server and lab to llm, and llm to core.
 */

const inPackage = (...names) => `^packages/(?:${names.join('|')})/`;

const TEST_FILES =
  '\\.test\\.tsx?$|\\.conformance\\.ts$|/conformance(?:/|\\.ts$)|-fixture\\.tsx?$|^packages/[^/]+/test/';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'Modules that import each other are one module, or what they share belongs in a third one.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-folder-circles',
      comment: 'Folders that import each other cannot be understood one after the other: move what both need.',
      severity: 'error',
      scope: 'folder',
      from: { path: '^packages/[^/]+/src/.+' },
      to: { circular: true },
    },
    {
      name: 'core-imports-no-package',
      severity: 'error',
      from: { path: inPackage('core') },
      to: { path: inPackage('llm', 'lab', 'server', 'sweep', 'cli') },
    },
    {
      name: 'llm-imports-core-only',
      severity: 'error',
      from: { path: inPackage('llm') },
      to: { path: inPackage('lab', 'server', 'sweep', 'cli') },
    },
    {
      name: 'lab-does-not-import-server-or-cli',
      severity: 'error',
      from: { path: inPackage('lab') },
      to: { path: inPackage('server', 'sweep', 'cli') },
    },
    {
      name: 'server-does-not-import-lab-or-cli',
      severity: 'error',
      from: { path: inPackage('server') },
      to: { path: inPackage('lab', 'sweep', 'cli') },
    },
    {
      name: 'sweep-does-not-import-server-or-cli',
      severity: 'error',
      from: { path: inPackage('sweep') },
      to: { path: inPackage('server', 'cli') },
    },
    {
      name: 'core-has-no-dependencies',
      comment: 'Node is asked for only where there is no Worker of the browser.',
      severity: 'error',
      from: { path: '^packages/core/src/' },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer'] },
    },
    {
      name: 'reference-kernels-in-tests-only',
      comment: 'They specify the arithmetic; what runs is in kernels/wasm. The list of kernels names both.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: '/kernels/(?:reference/|index\\.ts)' },
      to: { path: '/kernels/reference/' },
    },
    {
      name: 'threads-know-no-attention',
      severity: 'error',
      from: { path: '^packages/core/src/threads/' },
      to: { path: '^packages/core/src/', pathNot: '^packages/core/src/(?:threads/|errors)' },
    },
    {
      name: 'nothing-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // What only tests use may lie beside what it tests; a package's own index stands above its folders.
    exclude: { path: `${TEST_FILES}|/dist/|/generated/|^packages/[^/]+/src/index\\.ts$` },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['keysieve-source', 'import', 'node', 'default'],
    },
  },
};
