import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import t from 'tap';
import { problemTypes } from '../../../src/http/errors/problem.js';
import { examples } from '../../../src/http/openapi/examples.js';
import { openapiGenerator } from '../../../src/http/openapi/generator.js';
import { root } from '../../support/paths.js';
import { startWorker } from '../../support/worker.js';

interface Media {
  readonly schema: { readonly $ref?: string };
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: { readonly code: string; readonly status: number } }>>;
}
interface Answer {
  readonly description: string;
  readonly content?: Readonly<Record<string, Media>>;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: { type: string } }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, Answer>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const committed = readFileSync(join(root, 'openapi', 'openapi.json'), 'utf8');
const document: Document = JSON.parse(committed);
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, operation })),
);

const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
ajv.addSchema({ $id: 'openapi', components: document.components });

function validate(media: Media, value: unknown): string {
  const schema = media.schema.$ref === undefined ? media.schema : { $ref: `openapi${media.schema.$ref}` };
  return ajv.validate(schema, value) ? '' : ajv.errorsText();
}

t.test('the committed document describes the routes, and the worker serves it', async (t) => {
  const { app } = await startWorker(t, { start: false, generator: openapiGenerator });
  t.equal(`${JSON.stringify(app.swagger(), null, 2)}\n`, committed, 'run `npm run openapi`');
  const served = await app.inject('/openapi.json');
  t.equal(served.headers['content-type'], 'application/json; charset=utf-8');
  t.equal(served.body, committed);
});

t.test('the document has every route', async (t) => {
  t.same(operations.map(({ name }) => name).sort(), [
    'DELETE /v1/leases/{lease_id}',
    'DELETE /v1/pulls/{pull_id}',
    'DELETE /v1/reservations/{id}',
    'DELETE /v1/shards/{shard_id}',
    'DELETE /v1/uploads/{upload_id}',
    'GET /.well-known/jwks.json',
    'GET /livez',
    'GET /metrics',
    'GET /readyz',
    'GET /v1/audit',
    'GET /v1/devices',
    'GET /v1/leases',
    'GET /v1/overview',
    'GET /v1/pulls',
    'GET /v1/pulls/{pull_id}',
    'GET /v1/pulls/{pull_id}/events',
    'GET /v1/ready',
    'GET /v1/shards',
    'GET /v1/shards/{shard_id}',
    'GET /v1/shards/{shard_id}/leases',
    'GET /v1/uploads/{upload_id}',
    'HEAD /v1/uploads/{upload_id}',
    'OPTIONS /v1/uploads',
    'PATCH /v1/uploads/{upload_id}',
    'POST /v1/commit',
    'POST /v1/handles/verify',
    'POST /v1/plan',
    'POST /v1/pulls',
    'POST /v1/reservations/{id}/renew',
    'POST /v1/shards/{shard_id}/verify',
    'POST /v1/uploads',
    'PUT /v1/commit',
  ]);
});

t.test('every request body and response body has a valid example', async (t) => {
  for (const { name, operation } of operations) {
    for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) {
      if (type.endsWith('octet-stream')) continue;
      const values = Object.values(media.examples ?? { only: { value: media.example } }).map(({ value }) => value);
      for (const value of values) t.equal(validate(media, value), '', `${name}: request`);
    }
    for (const [status, answer] of Object.entries(operation.responses)) {
      for (const media of Object.values(answer.content ?? {})) {
        const values =
          media.examples === undefined ? [media.example] : Object.values(media.examples).map((one) => one.value);
        for (const value of values) t.equal(validate(media, value), '', `${name}: ${status}`);
      }
    }
  }
  t.same(
    Object.keys(examples).sort(),
    operations
      .filter(({ operation }) =>
        Object.entries(operation.responses).some(([status, { content }]) => status < '300' && content),
      )
      .map(({ operation }) => operation.operationId)
      .sort(),
  );
});

/** The operations whose body is not JSON. */
const bytesOf = new Map([
  ['PUT /v1/commit', 'application/octet-stream'],
  ['POST /v1/uploads', 'application/offset+octet-stream'],
  ['PATCH /v1/uploads/{upload_id}', 'application/offset+octet-stream'],
]);

t.test('each operation has one media type of request, from which client generators take the method', async (t) => {
  for (const { name, operation } of operations) {
    const types = Object.keys(operation.requestBody?.content ?? {});
    const expected = bytesOf.get(name) ?? 'application/json';
    t.same(types, operation.requestBody === undefined ? [] : [expected], name);
  }
});

t.test('query parameters have the JSON type of their values', async (t) => {
  const types = Object.fromEntries(
    operations.flatMap(({ operation: { parameters = [] } }) =>
      parameters.filter((one) => one.in === 'query').map(({ name, schema }) => [name, schema.type] as const),
    ),
  );
  t.same(
    Object.keys(types)
      .filter((name) => types[name] === 'integer')
      .sort(),
    [
      'before_seq',
      'gpu_device',
      'grace_seconds',
      'limit',
      'max_age_seconds',
      'shard_index',
      'total_shards',
      'vram_bytes',
      'wait_seconds',
    ],
  );
  t.same(
    Object.keys(types)
      .filter((name) => types[name] === 'boolean')
      .sort(),
    ['exportable', 'flat_digest', 'force', 'handles'],
  );
});

t.test('every route documents its errors by status and code', async (t) => {
  for (const { name, path, operation } of operations) {
    const problems = Object.entries(operation.responses).flatMap(([status, { content }]) =>
      Object.entries(content?.['application/problem+json']?.examples ?? {}).map(([code, { value }]) => ({
        status,
        code,
        value,
      })),
    );
    t.ok(
      problems.some(({ code }) => code === 'INVALID_PARAMS'),
      name,
    );
    if (path.startsWith('/v1')) {
      for (const code of ['AUTH_FAILED', 'INTERNAL'])
        t.ok(
          problems.some((problem) => problem.code === code),
          `${name}: ${code}`,
        );
    } else t.same(operation.security, [], `${name} needs no token`);
    for (const { status, code, value } of problems) {
      t.equal(String(problemTypes[code as keyof typeof problemTypes].status), status);
      t.match(value, { code, status: Number(status) });
    }
  }
});

t.test('every component has a description and refuses unknown fields', async (t) => {
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    t.match(name, /^[A-Z][A-Za-z0-9]+$/);
    const forms = (schema as { oneOf?: unknown }).oneOf;
    t.match(schema, { type: 'object', description: String }, name);
    if (forms === undefined) t.match(schema, { additionalProperties: false }, name);
    else t.match(schema, { discriminator: { propertyName: 'type' } }, `${name}: its forms refuse them`);
  }
});

t.test('the example of a plan is a valid request', async (t) => {
  const { inject } = await startWorker(t);
  const payload = examples.plan?.request;
  t.equal(
    (await inject({ method: 'POST', url: '/v1/plan', ...(payload === undefined ? {} : { payload }) })).statusCode,
    200,
  );
});
