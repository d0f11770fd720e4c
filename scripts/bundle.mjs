// node scripts/bundle.mjs: bundles the commands with the packages that they load, because a start spends most of its time
// finding and reading modules. `dist/cli/worker_commands.js` then loads `dist/bundle`, and `dist/main.cjs` contains the
// commands that need only files. The other modules in `dist` are for tools and tests.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';

const dist = join(import.meta.dirname, '../dist');
const bundle = join(dist, 'bundle');
const workerCommands = 'cli/worker_commands.js';

/** koffi has native code. A worker loads the others only for some requests, or never. */
const external = [
  'koffi',
  '@fastify/ajv-compiler',
  '@fastify/fast-json-stringify-compiler',
  '@fastify/swagger',
  'typebox',
];

/** Loads these modules of `dist` when the program runs. */
const separate = (paths) => ({
  name: 'separate modules',
  setup(plugins) {
    for (const path of paths) {
      const filter = new RegExp(`/${path.split('/').at(-1).replaceAll('.', '\\.')}$`);
      plugins.onResolve({ filter }, () => ({ path, external: true }));
    }
  },
});

/** Modules find files relative to themselves, so each keeps its own URL. `base` is the URL of the output, `folder` its folder. */
const ownUrls = (base, folder) => ({
  name: 'own URLs',
  setup(plugins) {
    plugins.onLoad({ filter: /\.js$/ }, ({ path }) => {
      if (!path.startsWith(dist)) return undefined;
      const url = `new URL(${JSON.stringify(relative(folder, path))}, ${base}).href`;
      return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url), loader: 'js' };
    });
  },
});

const common = {
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  external,
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
};

rmSync(bundle, { recursive: true, force: true });
await Promise.all([
  build({
    ...common,
    entryPoints: [join(dist, workerCommands)],
    outdir: bundle,
    splitting: true,
    format: 'esm',
    // CommonJS packages load Node's modules, and the external packages, by `require`.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);",
    },
    // The entry point shares the state of signals.
    plugins: [separate(['../process/signals.cjs']), ownUrls('import.meta.url', bundle)],
  }),
  // CommonJS: the loader of ES modules takes a fifth of the time of a command that only reads a file.
  build({
    ...common,
    entryPoints: [join(dist, 'main.cjs')],
    outfile: join(dist, 'main.cjs'),
    allowOverwrite: true,
    format: 'cjs',
    banner: { js: "const mainUrl = require('node:url').pathToFileURL(__filename);" },
    plugins: [separate(['./process/signals.cjs', `./${workerCommands}`]), ownUrls('mainUrl', dist)],
  }),
]);
writeFileSync(join(dist, workerCommands), "export { main } from '../bundle/worker_commands.js';\n");
