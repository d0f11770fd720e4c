import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../support/paths.js';

/** The part of JSON Schema that the OpenAPI document uses. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  /** The first form is the most frequent one. */
  readonly oneOf?: readonly Schema[];
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

export interface Parameter {
  readonly in: 'path' | 'query';
  readonly name: string;
  readonly required?: boolean;
  readonly schema: Schema;
}

export interface Answer {
  readonly headers?: Readonly<Record<string, { readonly description: string }>>;
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

export interface Operation {
  /** Method and path. A request names its operation by them, so that a failure prints briefly. */
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly content: Readonly<Record<string, { readonly schema: Schema }>>;
  readonly responses: Readonly<Record<string, Answer>>;
}

/** The committed OpenAPI document. The fuzzer generates requests from it and checks answers against it. */
export const document = JSON.parse(readFileSync(join(root, 'openapi', 'openapi.json'), 'utf8'));

export const operations: readonly Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  // biome-ignore lint/suspicious/noExplicitAny: other tests check the form of the document.
  Object.entries(methods as Record<string, any>).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase() as Operation['method'],
    path,
    parameters: operation.parameters ?? [],
    content: operation.requestBody?.content ?? {},
    responses: operation.responses,
  })),
);

const byName = new Map(operations.map((operation) => [operation.name, operation]));

export function operationOf(name: string): Operation {
  const found = byName.get(name);
  if (found === undefined) throw new RangeError(`the document has no ${name}`);
  return found;
}

/** Resolves the reference of a schema. */
export function resolve(schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : document.components.schemas[name];
}
