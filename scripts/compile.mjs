// node scripts/compile.mjs OUTPUT FOLDER…: compiles each TypeScript file to a module of its own, with a source map. It does
// not check types, which `npm run check` does. Files of one folder go to OUTPUT, and of several to folders in OUTPUT.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const [output, ...folders] = process.argv.slice(2);
const isSource = (path) => /\.c?ts$/.test(path) && !/(^|\/)(node_modules|generated)\//.test(path);
const files = folders.flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .map((path) => join(folder, path))
    .filter(isSource),
);
const common = {
  outdir: output,
  outbase: folders.length === 1 ? folders[0] : '.',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
};
const isCommonJs = (file) => file.endsWith('.cts');
await Promise.all([
  build({ ...common, format: 'esm', entryPoints: files.filter((file) => !isCommonJs(file)) }),
  build({ ...common, format: 'cjs', entryPoints: files.filter(isCommonJs), outExtension: { '.js': '.cjs' } }),
]);
