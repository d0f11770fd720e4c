// node openapi/freeze.mjs [FOLDER]: runs after scripts/compile.mjs. The schemas are constants, so their modules become
// plain JSON, and the build compiles their validators. TypeBox and Ajv take longer to load than Fastify, so the worker loads
// neither.
import { readdirSync, writeFileSync } from 'node:fs';
import { compiled, routeSchemas } from './validators.mjs';

const [folder = 'dist'] = process.argv.slice(2);
const root = new URL(`../${folder}/`, import.meta.url);
const directory = new URL('http/schemas/', root);

const modules = readdirSync(directory).filter((name) => name.endsWith('.js'));
const built = await Promise.all(modules.map(async (name) => [name, await import(new URL(name, directory).href)]));
const { schemas, components, options } = await routeSchemas(root);
const { SourceReference } = await import(new URL('sources/reference.js', root).href);

for (const [name, exported] of built) {
  const entries = Object.entries(exported);
  if (entries.length === 0 || entries.some(([, value]) => typeof value === 'function')) continue;
  const lines = entries.map(([key, value]) => `export const ${key} = ${JSON.stringify(value)};\n`);
  writeFileSync(new URL(name, directory), lines.join(''));
}

const routes = compiled(schemas, { ...options, components });
writeFileSync(
  new URL('http/plugins/compiled_validators.js', root),
  `import { isVisibleText } from '../../seal/visible_text.js';
import { query } from './query_keyword.js';
const formats = { 'visible-text': isVisibleText };
// What Ajv calls keywords with.
const self = undefined;
${routes.code}
export const compiledValidators = new Map([
${routes.names.map((name, index) => `[${JSON.stringify(JSON.stringify(schemas[index]))}, ${name}],\n`).join('')}]);
`,
);

const reference = compiled([SourceReference]);
writeFileSync(
  new URL('sources/reference_check.js', root),
  `${reference.code}
export const isSourceReference = ${reference.names[0]};
`,
);
