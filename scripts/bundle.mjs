// node scripts/bundle.mjs: bundles the commands with the packages that they load, because a start spends most of its time
// finding and reading modules. `dist/cli.js` then loads `dist/bundle`. The other modules in `dist` are for tools and tests.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';

const dist = join(import.meta.dirname, '../dist');
const bundle = join(dist, 'bundle');

/** koffi has native code. A worker loads the others only for some requests, or never. */
const external = [
  'koffi',
  '@fastify/ajv-compiler',
  '@fastify/fast-json-stringify-compiler',
  '@fastify/swagger',
  'typebox',
];

/** Modules find files relative to themselves, so each keeps its own URL. The entry point shares the state of signals. */
const own = {
  name: 'own modules',
  setup(plugins) {
    plugins.onResolve({ filter: /\/signals\.cjs$/ }, () => ({ path: '../process/signals.cjs', external: true }));
    plugins.onLoad({ filter: /\.js$/ }, ({ path }) => {
      if (!path.startsWith(dist)) return undefined;
      const url = `new URL(${JSON.stringify(relative(bundle, path))}, import.meta.url).href`;
      return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url), loader: 'js' };
    });
  },
};

rmSync(bundle, { recursive: true, force: true });
await build({
  entryPoints: [join(dist, 'cli.js')],
  outdir: bundle,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  // CommonJS packages load Node's modules, and the external packages, by `require`.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module';\nconst require = requireOf(import.meta.url);",
  },
  external,
  plugins: [own],
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
});
writeFileSync(join(dist, 'cli.js'), "export { main } from './bundle/cli.js';\n");
