import type { InjectOptions } from 'fastify';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { upload } from '../../support/requests.js';
import { moreThanAnyDevice, withoutSizeLimit } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const query = { shard_id: 'a', model_ref: 'm' };
const put = { method: 'PUT', url: '/v1/commit', payload: 'abc' } as const;

t.test('errors have the order of the contract', async (t) => {
  const worker = await startWorker(t, {
    env: { ...withoutSizeLimit, WORKER_REQUESTS_PER_SECOND: '1000' },
  });
  await upload(worker, 'here', patternBytes(3));
  const tooLarge = { 'content-length': String(2 ** 50) };
  const large = { 'content-length': String(moreThanAnyDevice) };
  // Each request has the fault of its own line and those of the lines below.
  const rows: readonly (readonly [code: string, request: InjectOptions])[] = [
    [
      'AUTH_FAILED',
      {
        ...put,
        query: { typo: '1' },
        headers: { authorization: 'Bearer wrong', 'content-type': 'text/plain', ...tooLarge },
      },
    ],
    [
      'UNSUPPORTED_MEDIA_TYPE',
      { ...put, query: { typo: '1' }, headers: { 'content-encoding': 'gzip', 'transfer-encoding': 'gzip, chunked' } },
    ],
    [
      'UNSUPPORTED_MEDIA_TYPE',
      { ...put, query: { typo: '1' }, headers: { 'content-type': 'text/plain', ...tooLarge } },
    ],
    ['INVALID_PARAMS', { ...put, query: { ...query, typo: '1', reservation_id: 'absent' }, headers: tooLarge }],
    ['LENGTH_REQUIRED', { ...put, payload: '', query: { ...query, reservation_id: 'absent' } }],
    ['NOT_FOUND', { ...put, query: { ...query, shard_id: 'here', reservation_id: 'absent' }, headers: tooLarge }],
    ['MODEL_TOO_LARGE', { ...put, query: { ...query, shard_id: 'here' }, headers: tooLarge }],
    ['SHARD_CONFLICT', { ...put, query: { ...query, shard_id: 'here' }, headers: large }],
    ['VRAM_OOM', { ...put, query, headers: large }],
  ];
  for (const [code, request] of rows) {
    const answer = await worker.inject(request);
    t.equal(answer.json().code, code, JSON.stringify(request));
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
  }
});

t.test('an invalid request is refused before the rate limit applies', async (t) => {
  const { inject } = await startWorker(t, { env: { WORKER_REQUESTS_PER_SECOND: '1' } });
  const codes = async (requests: InjectOptions[]) =>
    Promise.all(requests.map(async (request) => (await inject(request)).json().code));
  const plan = { method: 'POST', url: '/v1/plan' } as const;
  const contradiction = { model_ref: 'm', shard_layout: 'single', model_bytes: 1, tp_degree: 2 };
  t.same(
    await codes([
      { url: '/v1/devices' },
      { url: '/v1/devices' },
      { ...plan, payload: '{', headers: { 'content-type': 'application/json' } },
      { ...plan, payload: contradiction },
      { ...put, query: { ...query, shard_index: '1' } },
      { url: '/v1/shards?limit=0' },
      { url: '/v1/ready?max_age_seconds=0' },
      { url: '/v1/shards/absent' },
    ]),
    [
      undefined,
      'RATE_LIMITED',
      'INVALID_PARAMS',
      'INVALID_PARAMS',
      'INVALID_PARAMS',
      'INVALID_PARAMS',
      'INVALID_PARAMS',
      'RATE_LIMITED',
    ],
  );
});
