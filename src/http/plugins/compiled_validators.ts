import type { BuildCompilerFromPool } from '@fastify/ajv-compiler';

/** A validator of a part of requests, as Ajv compiles it. */
export type Validator = ReturnType<ReturnType<BuildCompilerFromPool>>;

/** Validators by the JSON text of their schema. `openapi/freeze.mjs` replaces this module in the build. */
export const compiledValidators: ReadonlyMap<string, Validator> = new Map();
