import fc from 'fast-check';
import t from 'tap';
import { startWorker } from '../support/worker.js';

const fields = [
  'model_ref',
  'model_bytes',
  'shard_layout',
  'tp_degree',
  'shards',
  'gpu_devices',
  'reserve',
  'ttl_seconds',
  'shard_id',
  'expected_digest',
  'expected_tree_digest',
  'flat_digest',
  'source',
  'handle',
];
const words = fc.constantFrom(
  'single',
  'tensor_parallel',
  'file',
  'm',
  'a-b',
  '0'.repeat(64),
  '\0',
  '../x',
  'e30.e30.',
);
const numbers = fc.constantFrom(0, 1, -1, 2, 3600, 1.5, 2 ** 53 - 1, 2 ** 53, 1e300);
const leaf = fc.oneof(words, numbers, fc.boolean(), fc.constant(null), fc.string());
const value = fc.oneof(
  leaf,
  fc.array(fc.oneof(leaf, fc.record({ bytes: numbers })), { maxLength: 3 }),
  fc.record({ type: words, path: words }),
);
const body = fc.dictionary(
  fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...fields) }, { weight: 1, arbitrary: fc.string() }),
  value,
);

t.test('no JSON body causes a server error', async (t) => {
  const { inject } = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '1000000' } });
  const urls = fc.constantFrom(
    '/v1/plan',
    '/v1/commit',
    '/v1/handles/verify',
    '/v1/shards/a/verify',
    '/v1/reservations/a/renew',
  );
  await fc.assert(
    fc.asyncProperty(urls, fc.oneof(body, fc.anything()), async (url, payload) => {
      const text = JSON.stringify(payload) ?? '';
      const headers = { 'content-type': 'application/json' };
      const answer = await inject({ method: 'POST', url, payload: text, headers });
      const problem = answer.headers['content-type']?.toString().startsWith('application/problem+json') === true;
      t.ok(answer.statusCode < 500, `${url} ${text} ${answer.body}`);
      t.equal(problem, answer.statusCode >= 400);
    }),
    { numRuns: 400 },
  );
});

t.test('no query causes a server error', async (t) => {
  const { inject } = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '1000000' } });
  const names = fc.constantFrom(
    'model_ref',
    'handles',
    'max_age_seconds',
    'nonce',
    'limit',
    'cursor',
    'state',
    '__proto__',
  );
  const raw = fc.string({ unit: fc.constantFrom('%', '0', 'f', 'z', '&', '=', '+', 'a', ';', '%00', '%ff', '%C3%A9') });
  const query = fc.array(fc.tuple(names, raw)).map((pairs) => pairs.map((pair) => pair.join('=')).join('&'));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('/v1/ready', '/v1/shards', '/v1/devices'), query, async (path, text) => {
      const answer = await inject({ url: `${path}?${text}` });
      t.ok([200, 400, 503].includes(answer.statusCode), `${path}?${text} ${answer.body}`);
      if (answer.statusCode === 503) t.equal(answer.json().ready, false);
    }),
    { numRuns: 300 },
  );
});
