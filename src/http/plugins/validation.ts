import { createRequire } from 'node:module';
import type { BuildCompilerFromPool } from '@fastify/ajv-compiler';
import type { FastifyServerOptions } from 'fastify';
import { isVisibleText } from '../../seal/visible_text.js';
import { schemaError } from '../errors/schema_error.js';
import { compiledValidators } from './compiled_validators.js';
import { query } from './query_keyword.js';

type Compile = ReturnType<BuildCompilerFromPool>;

/** Takes the validators that the build compiled. Loads Ajv only for a schema that is not among them. */
const buildValidator: BuildCompilerFromPool = (schemas, options) => {
  let compile: Compile | undefined;
  return (route) => {
    // The type says schema, but Fastify passes an object that has it.
    const compiled = compiledValidators.get(JSON.stringify(Object(route).schema));
    if (compiled !== undefined) return compiled;
    compile ??= ajvCompiler()(schemas, options);
    return compile(route);
  };
};

const ajvCompiler = (): BuildCompilerFromPool => createRequire(import.meta.url)('@fastify/ajv-compiler')();

/** How Fastify validates requests: strictly, without coercion of JSON. */
export const validationOptions: FastifyServerOptions = {
  routerOptions: { maxParamLength: 1024 },
  schemaErrorFormatter: schemaError,
  ajv: {
    customOptions: {
      coerceTypes: false,
      removeAdditional: false,
      useDefaults: false,
      discriminator: true,
      formats: { 'visible-text': isVisibleText },
      keywords: [{ keyword: 'query', errors: true, validate: query }],
    },
  },
  // Compiled serializers would cost more at start than they save later.
  schemaController: { compilersFactory: { buildValidator, buildSerializer: () => () => JSON.stringify } },
};
