/**
 * Bundles what runs in the pages of reports: for each folder of src/report/browser that has a main.tsx, one script and
 * one style sheet, which are inlined into the page. Run as a command, it writes them into dist/pages, where the built
 * command finds them; from the sources `bundlePage` is called each time, so that nothing needs a build.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const browser = fileURLToPath(new URL('../src/report/browser/', import.meta.url));

const LICENCES = `/*! With Preact and Preact Signals (MIT, Copyright (c) 2015-present Jason Miller, 2022-present Preact Team),
Observable Plot (ISC, Copyright 2020-2023 Observable, Inc.) and D3 (ISC, Copyright 2010-2023 Mike Bostock). */`;

/** The script and the style sheet of one page, as text. */
export async function bundlePage(name) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [`${browser}${name}/main.tsx`],
    bundle: true,
    minify: true,
    write: false,
    outdir: 'pages',
    format: 'iife',
    target: ['es2022'],
    conditions: ['keysieve-source', 'browser'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    banner: { js: LICENCES },
    logLevel: 'error',
  });
  const textOf = (extension) => outputFiles.find(({ path }) => path.endsWith(extension))?.text ?? '';
  return { script: textOf('.js'), style: textOf('.css') };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const target = fileURLToPath(new URL('../dist/pages/', import.meta.url));
  await mkdir(target, { recursive: true });
  const folders = await readdir(browser, { withFileTypes: true });
  for (const { name } of folders.filter((entry) => entry.isDirectory())) {
    const { script, style } = await bundlePage(name);
    await writeFile(`${target}${name}.js`, script);
    await writeFile(`${target}${name}.css`, style);
  }
}
