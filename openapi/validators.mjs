// The validators of the routes as code, so that the worker does not compile them at each start.
import { createRequire } from 'node:module';
import { pino } from 'pino';

// The Ajv of Fastify, with the options of Fastify.
const require = createRequire(createRequire(import.meta.url).resolve('fastify'));
const requireOfAjv = createRequire(require.resolve('@fastify/ajv-compiler'));
const { default: Ajv, _, Name } = requireOfAjv('ajv');
const { default: standaloneCode } = requireOfAjv('ajv/dist/standalone');
const defaults = requireOfAjv('./lib/default-ajv-options');

/**
 * The schemas that Fastify would compile, without duplicates, those that they refer to, and the options of Ajv.
 * @param {URL} root the folder of the compiled sources
 */
export async function routeSchemas(root) {
  const { validationOptions } = await import(new URL('http/plugins/validation.js', root).href);
  const { buildApp } = await import(new URL('http/app.js', root).href);
  const schemas = new Map();
  let components = {};
  let options = {};
  const { compilersFactory } = validationOptions.schemaController;
  const { buildValidator } = compilersFactory;
  compilersFactory.buildValidator = (external, { customOptions }) => {
    components = { ...components, ...external };
    options = customOptions;
    return ({ schema }) => {
      schemas.set(JSON.stringify(schema), schema);
      return () => true;
    };
  };
  await (await buildApp(withoutWorker)).close();
  compilersFactory.buildValidator = buildValidator;
  return { schemas: [...schemas.values()], components: Object.values(components), options };
}

/** The plugins only register observers of the service, and call it on requests. */
export const withoutWorker = {
  residency: { observe: () => undefined, onRevision: () => undefined },
  config: { requestsPerSecond: 1, headersTimeoutSeconds: 1, readyPublic: false, apiToken: Buffer.alloc(32) },
  logger: pino({ level: 'silent' }),
};

/**
 * ES module code of the validators, and the name of each. An unknown format is an error. The code expects `formats` and the functions of keywords by the
 * name of the keyword.
 */
export function compiled(schemas, { components = [], ...options } = {}) {
  const ajv = new Ajv({ ...defaults, ...options, code: { source: true, esm: true, formats: _`formats` } });
  for (const component of components) ajv.addSchema(withoutText(component));
  const names = schemas.map((_schema, index) => `validate${index}Request`);
  const ids = schemas.map(({ $id }, index) => $id ?? names[index]);
  for (const [index, schema] of schemas.entries())
    if (schema.$id === undefined) ajv.addSchema(withoutText(schema), names[index]);
  for (const id of ids) ajv.getSchema(id);
  nameKeywords(ajv);
  const code = standaloneCode(ajv, Object.fromEntries(names.map((name, index) => [name, ids[index]])));
  // Ajv writes `require` for its own helpers into ES modules too.
  const helpers = code.includes('require(')
    ? "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);\n"
    : '';
  return { code: helpers + code.replace('"use strict";', ''), names };
}

/** A schema without descriptions, which validators do not need. A property of that name would be an object. */
const withoutText = (schema) =>
  JSON.parse(
    JSON.stringify(schema, (key, value) => (key === 'description' && typeof value === 'string' ? undefined : value)),
  );

/** Ajv has no option for the code of a keyword that is a function. */
function nameKeywords(ajv) {
  for (const [validate, { value }] of ajv.scope._values.keyword ?? []) {
    const { keyword } = ajv.opts.keywords.find((definition) => definition.validate === validate);
    value.code = _`${new Name(keyword)}`;
  }
}
