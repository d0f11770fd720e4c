import { createRequire } from 'node:module';

interface Definition {
  readonly schema: object;
}
type Compile = (definition: Definition) => unknown;
type BuildCompiler = (externalSchemas: object, options: object) => Compile;

/**
 * Makes all workers of a test process share their compiled schemas. To compile them takes most of the time of a start, and
 * Fastify has no option for it.
 */
export function shareValidators(): void {
  const ofFastify = createRequire(createRequire(import.meta.url).resolve('fastify'));
  const path = ofFastify.resolve('@fastify/ajv-compiler');
  const original: () => BuildCompiler = ofFastify(path);
  const build = original();
  const compilers = new Map<string, Compile>();
  const shared: BuildCompiler = (externalSchemas, options) => {
    const key = JSON.stringify([externalSchemas, options]);
    const compiler = compilers.get(key) ?? cached(build(externalSchemas, options));
    compilers.set(key, compiler);
    return compiler;
  };
  const loaded = ofFastify.cache[path];
  if (loaded !== undefined) loaded.exports = () => shared;
}

function cached(compile: Compile): Compile {
  const compiled = new Map<string, unknown>();
  return (definition) => {
    const key = JSON.stringify(definition.schema);
    const validator = compiled.get(key) ?? compile(definition);
    compiled.set(key, validator);
    return validator;
  };
}
