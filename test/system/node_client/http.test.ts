import { randomBytes } from 'node:crypto';
import { mkdirSync, openAsBlob, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ApiError, WorkerClient } from '../../../clients/node/src/index.js';
import { startProcess, temporaryDirectory } from '../../support/process.js';
import { sha256 } from '../../support/requests.js';

const bytes = randomBytes(300_000);

async function scene(t: Test) {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'models'));
  writeFileSync(join(directory, 'models/model.bin'), bytes);
  const { url, authorization } = await startProcess(t, directory, { WORKER_MODEL_DIR: 'models' });
  const token = authorization.replace('Bearer ', '');
  return { directory, url, token, client: new WorkerClient({ url, token }) };
}

/** The ApiError of a request. */
async function refusal(request: Promise<unknown>): Promise<ApiError> {
  const error = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ApiError) return error;
  throw new Error(`no ApiError, but ${error}`);
}

t.test('the Node client plans, commits, attests, verifies and releases', async (t) => {
  const { directory, client } = await scene(t);
  t.match(await client.ready(), { ready: false, models: [] }, 'a worker that is not ready answers');

  const plan = await client.plan({ model_ref: 'm', model_bytes: bytes.length, shard_layout: 'single', reserve: true });
  const reservation_id = plan.reservation?.reservation_id ?? '';
  t.match(await client.renewReservation(reservation_id, { ttl_seconds: 30 }), { reservation_id });
  const file = await openAsBlob(join(directory, 'models/model.bin'));
  const uploaded = await client.upload({ shard_id: 'a', model_ref: 'm', reservation_id }, file);
  t.match(uploaded.shard, { digest: sha256(bytes), vram_bytes: bytes.length, state: 'sealed' });

  const source = { type: 'file', path: 'model.bin' } as const;
  const committed = await client.commit({ shard_id: 'b', model_ref: 'n', source });
  const streamed = await client.upload({ shard_id: 'c', model_ref: 'o', vram_bytes: bytes.length }, file.stream());
  for (const { shard } of [committed, streamed]) t.equal(shard.tree_digest, uploaded.shard.tree_digest);

  t.match(await client.ready({ model_ref: 'm', nonce: 'n-1', max_age_seconds: 60 }), {
    ready: true,
    attestation: /^ey/,
    handles: [{ handle: uploaded.handle }],
  });
  t.match(await client.verifyHandle(uploaded.handle), { valid: true });
  t.match(await client.verify('a'), { verified: true, corrupt_ranges: [] });
  t.match(await client.shard('a'), { shard_id: 'a', leases: 0 });
  t.equal((await client.listShards({ limit: 2 })).shards.length, 2);
  const names: string[] = [];
  for await (const { shard_id } of client.shards({ limit: 1 })) names.push(shard_id);
  t.same(names, ['a', 'b', 'c']);
  t.match((await client.devices()).devices, [{ gpu_device: 0 }, { gpu_device: 1 }]);
  t.same((await client.leases()).leases, []);
  t.same((await client.leasesOf('a')).leases, []);
  t.equal(await client.release('a'), undefined);
  const other = await client.plan({ model_ref: 'm', model_bytes: 5000, shard_layout: 'single', reserve: true });
  t.equal(await client.dropReservation(other.reservation?.reservation_id ?? ''), undefined);
  t.equal((await client.http.GET('/livez')).response.status, 200, 'routes without a method');
});

t.test('the Node client pulls a model, waits for it, and cancels', async (t) => {
  const { client } = await scene(t);
  const source = { type: 'file', path: 'model.bin' } as const;
  const pullOf = (pull_id: string) =>
    ({ pull_id, shard_id_prefix: pull_id, source, digest: 'allow', format_check: 'off' }) as const;
  t.match(await client.startPull(pullOf('p')), { pull_id: 'p', shard_id_prefix: 'p' });
  t.match(await client.waitForPull('p'), { state: 'sealed', problem: null, received_bytes: bytes.length });
  t.match(await client.shard('p-0'), { digest: sha256(bytes), state: 'sealed' });
  t.match(await client.startPull(pullOf('p')), { state: 'sealed' }, 'the same body is the same pull');
  t.match(await client.pull('p'), { state: 'sealed' });
  t.match((await client.listPulls()).pulls, [{ pull_id: 'p', state: 'sealed' }]);

  await client.startPull(pullOf('q'));
  await client.cancelPull('q');
  const { state } = await client.waitForPull('q', { waitSeconds: 5 });
  t.ok(state === 'cancelled' || state === 'sealed', `a cancel ends the pull, or comes too late: ${state}`);
  await client.startPull({ ...pullOf('r'), source: { type: 'file', path: 'absent.bin' } });
  t.match(await client.waitForPull('r'), { state: 'failed', problem: { code: 'NOT_FOUND' } });
  t.equal((await refusal(client.pull('absent'))).code, 'NOT_FOUND');
});

t.test('watchReady yields the readiness now and after a change', async (t) => {
  const { directory, client } = await scene(t);
  const file = await openAsBlob(join(directory, 'models/model.bin'));
  const seen: boolean[] = [];
  for await (const { ready } of client.watchReady({ model_ref: 'm', handles: false })) {
    seen.push(ready);
    if (seen.length === 1) await client.upload({ shard_id: 'a', model_ref: 'm' }, file);
    if (ready) break;
  }
  t.equal(seen[0], false);
  t.equal(seen.at(-1), true);
});

t.test('a refusal is an ApiError with the code of the problem', async (t) => {
  const { url, client } = await scene(t);
  const missing = await refusal(client.shard('missing'));
  t.match(missing, { code: 'NOT_FOUND', status: 404, retriable: false, retryAfterMs: undefined });
  t.match(missing.message, /^NOT_FOUND \(404\): /);
  t.match(missing.problem, { type: /^urn:vram-residency:problem:/, instance: String });
  t.equal((await refusal(client.endLease('none'))).code, 'NOT_FOUND');
  t.equal((await refusal(client.dropReservation('none'))).code, 'NOT_FOUND', 'also without content on success');
  t.equal((await refusal(client.ready({ nonce: 'x'.repeat(200) }))).code, 'INVALID_PARAMS');
  t.equal((await refusal(new WorkerClient({ url }).devices())).code, 'AUTH_FAILED');

  const big = { model_ref: 'm', model_bytes: 2 ** 40, shard_layout: 'single' } as const;
  t.match(await client.plan(big), { feasible: false, reason: { code: 'MODEL_TOO_LARGE' } });
  await client.upload({ shard_id: 'a', model_ref: 'm' }, bytes);
  t.match(await refusal(client.upload({ shard_id: 'a', model_ref: 'other' }, bytes)), { code: 'SHARD_CONFLICT' });
  const digest = `sha256:${'0'.repeat(64)}`;
  const wrong = client.upload({ shard_id: 'b', model_ref: 'm', expected_digest: digest }, bytes);
  t.match(await refusal(wrong), { code: 'DIGEST_MISMATCH', status: 422 });
});

t.test('the token may change between requests, and an aborted request ends', async (t) => {
  const { url, token, client } = await scene(t);
  let current = 'wrong-token-0123456789abcdef0123456789ab';
  const rotating = new WorkerClient({ url: `${url}/`, token: async () => current });
  t.equal((await refusal(rotating.devices())).code, 'AUTH_FAILED');
  current = token;
  t.equal((await rotating.devices()).devices.length, 2);
  await t.rejects(client.devices({ signal: AbortSignal.abort() }), { name: 'AbortError' });
});

t.test('a response that is not of a worker is an ApiError too', async (t) => {
  const server = createServer((request, response) => {
    const isHtml = request.url !== '/v1/devices';
    response.writeHead(isHtml ? 502 : 503, { 'content-type': isHtml ? 'text/html' : 'application/json' });
    response.end(isHtml ? '<h1>Bad Gateway</h1>' : '{"code":"NOT_FOUND"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const client = new WorkerClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  for (const [request, status] of [
    [client.shard('a'), 502],
    [client.ready(), 502],
    [client.devices(), 503],
  ] as const) {
    t.match(await refusal(request), { code: 'UNEXPECTED_RESPONSE', status, problem: undefined });
  }
});
