import t from 'tap';
import { startWorker } from '../../support/worker.js';

const single = { model_ref: 'm', model_bytes: 12, shard_layout: 'single' };

/** A plan with one error each, and the detail of its problem. */
const plans: readonly (readonly [unknown, string])[] = [
  [[], 'The body must be a JSON object'],
  [{ ...single, none: 1 }, 'The body has an unknown field: "none"'],
  [{ ...single, model_bytes: '12' }, 'model_bytes must be an integer'],
  [{ ...single, model_ref: 12 }, 'model_ref must be a string'],
  [{ ...single, reserve: 1 }, 'reserve must be true or false'],
  [{ ...single, gpu_devices: 0 }, 'gpu_devices must be an array'],
  [{ ...single, gpu_devices: [] }, 'gpu_devices must not be empty'],
  [{ ...single, gpu_devices: [0, 0] }, 'gpu_devices must not have duplicates'],
  [{ ...single, gpu_devices: [0, 'x'] }, 'gpu_devices[1] must be an integer'],
  [{ ...single, model_bytes: 0 }, 'model_bytes must be at least 1'],
  [{ ...single, reserve: true, ttl_seconds: 3601 }, 'ttl_seconds must be at most 3600'],
  [{ ...single, model_ref: '' }, 'model_ref must not be empty'],
  [{ ...single, shard_layout: 'x' }, 'shard_layout must be one of single, tensor_parallel, files'],
  [{ ...single, model_bytes: undefined, shards: [{}] }, 'shards[0].bytes is missing'],
  [{ source: { type: 'file' } }, 'source.path is missing'],
  [{ source: { type: 'x' } }, 'source.type must be one of file, http, hf, hf_cache, oci, s3'],
];

t.test('an error about a body names the field, and what it must be', async (t) => {
  const { inject } = await startWorker(t);
  for (const [plan, detail] of plans) {
    const answer = await inject({ method: 'POST', url: '/v1/plan', payload: Object(plan) });
    t.match(answer.json(), { status: 400, code: 'INVALID_PARAMS', detail });
  }
});

t.test('an error about a map says how many entries it can have', async (t) => {
  const { inject } = await startWorker(t);
  const digests = Array.from({ length: 1025 }, (_, index) => [`${index}.gguf`, '0'.repeat(64)]);
  const fields = { pull_id: 'p', shard_id_prefix: 's', model_ref: 'm', source: { type: 'file', path: 'm' } };
  const payload = { ...fields, expected: Object.fromEntries(digests) };
  const answer = await inject({ method: 'POST', url: '/v1/pulls', payload });
  t.match(answer.json(), { status: 400, code: 'INVALID_PARAMS', detail: 'expected must have at most 1024 entries' });
});

t.test('an error about a query or a path names the parameter', async (t) => {
  const { inject } = await startWorker(t);
  const detailOf = async (url: string) => (await inject({ url })).json().detail;
  t.equal(await detailOf('/v1/ready?none=1'), 'The query has an unknown parameter: "none"');
  t.equal(await detailOf('/v1/shards?state=x'), 'state must be one of receiving, sealing, sealed, corrupt, releasing');
  t.equal(await detailOf('/v1/shards/a%20b'), 'shard_id must match pattern "^[A-Za-z0-9-]{1,256}$"');
  const upload = await inject({ method: 'PUT', url: '/v1/commit', payload: 'x' });
  t.equal(upload.json().detail, 'shard_id is missing');
});
