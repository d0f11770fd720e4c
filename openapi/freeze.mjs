// node openapi/freeze.mjs [FOLDER]: runs after tsc and replaces each built schema module by plain JSON. The schemas are
// constants. Building them at every start would load TypeBox, which takes longer to load than Fastify.
import { readdirSync, writeFileSync } from 'node:fs';

const [folder = 'dist'] = process.argv.slice(2);
const directory = new URL(`../${folder}/http/schemas/`, import.meta.url);

const modules = readdirSync(directory).filter((name) => name.endsWith('.js'));
const built = await Promise.all(modules.map(async (name) => [name, await import(new URL(name, directory).href)]));
for (const [name, exported] of built) {
  const entries = Object.entries(exported);
  if (entries.length === 0 || entries.some(([, value]) => typeof value === 'function')) continue;
  const lines = entries.map(([key, value]) => `export const ${key} = ${JSON.stringify(value)};\n`);
  writeFileSync(new URL(name, directory), lines.join(''));
}
