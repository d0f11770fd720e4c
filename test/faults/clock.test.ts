import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { Clocks, day, hour } from '../support/clock.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { get, post, remove, upload } from '../support/requests.js';
import { onSimulator } from '../support/simulator.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { OpenUpload } from './histories/open_upload.js';
import { long, scale, seeded } from './scale.js';
import { unlessShed, wasShed } from './shed.js';

const bytes = patternBytes(9000);
const steps = [hour, -hour, 30 * day, -30 * day];

/** The number of requests, of `count` with an invalid token, that were refused by the rate limit. */
async function limited({ app }: TestWorker, count: number): Promise<number> {
  const headers = { authorization: 'Bearer wrong' };
  const answers = await Promise.all(Array.from({ length: count }, () => app.inject({ url: '/v1/devices', headers })));
  return answers.filter((answer) => answer.statusCode === 429).length;
}

const seconds = (iso: string): number => Math.floor(Date.parse(iso) / 1000);
const claims = (jws: string) => JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString());

/** Sends a request until the worker accepts it. To the worker, a clock that advances is an event loop that was late. */
const ask = (send: () => Promise<LightMyRequestResponse>) => unlessShed(send, ({ body }) => body);

/** An upload whose body the worker has requested. */
async function admitted(worker: TestWorker): Promise<OpenUpload> {
  for (;;) {
    const opened = new OpenUpload(worker.url, { shard_id: 'b', model_ref: 'm' }, bytes.length);
    if (await opened.admitted()) return opened;
    const { body } = await opened.heard;
    if (!wasShed(body)) throw new Error(`the upload was not admitted: ${body}`);
    await sleep(100);
  }
}

/** Checks every duration of the worker over one jump of the wall clock. */
async function survive(t: Test, worker: TestWorker, clocks: Clocks, jumpMs: number): Promise<void> {
  const plan = { model_ref: 'm', model_bytes: 1, shard_layout: 'single', reserve: true, ttl_seconds: 60 };
  const { reservation_id: id } = (await ask(() => post(worker, '/v1/plan', plan))).json().reservation;
  const sealed = (await ask(() => upload(worker, 'a', bytes))).json();
  const half = await admitted(worker);
  half.send(bytes.subarray(0, 4000));
  clocks.pass(1001);
  const before = [await limited(worker, 15), await limited(worker, 2)];

  clocks.step(jumpMs);

  const after = await limited(worker, 2);
  clocks.pass(1001);
  const later = await limited(worker, 2);
  t.same([...before, after, later], [5, 2, 2, 0], 'the rate window of invalid tokens uses the monotonic clock');

  const askedAt = seconds(new Date().toISOString());
  const fresh = (await ask(() => get(worker, '/v1/ready?max_age_seconds=60&nonce=n'))).json();
  const [current] = fresh.handles;
  const { asked_at, oldest_verified_at } = claims(fresh.attestation);
  t.ok(Date.parse(asked_at) - Date.parse(oldest_verified_at) <= 60_000, 'both clocks say that no verification is old');
  if (jumpMs < 0) t.equal(current.shard.last_verified_at, sealed.shard.last_verified_at, 'none is repeated in vain');
  const { iat } = claims(fresh.attestation);
  t.ok(iat >= askedAt && iat <= seconds(new Date().toISOString()), 'iat is the wall clock of now');
  t.match((await ask(() => post(worker, '/v1/handles/verify', { handle: sealed.handle }))).json(), {
    valid: true,
    reason: null,
  });
  t.equal(claims(sealed.handle).iat, seconds(sealed.shard.sealed_at), 'a handle states when it was issued');

  t.equal((await half.finish(bytes.subarray(4000))).status, 201, 'a running upload completes');
  const renewedMs = Date.now();
  const renewed = await ask(() => post(worker, `/v1/reservations/${id}/renew`, { ttl_seconds: 60 }));
  t.equal(renewed.statusCode, 200, 'a reservation is renewed');
  const endsMs = Date.parse(renewed.json().expires_at);
  // The clocks are read one after the other, and the host's may be adjusted in between.
  const isCurrent = endsMs >= renewedMs + 59_990 && endsMs <= Date.now() + 60_010;
  t.ok(isCurrent, `expires_at uses the current wall clock: ${endsMs}, renewed at ${renewedMs}`);

  clocks.pass(61_000);
  t.equal(
    (await ask(() => post(worker, `/v1/reservations/${id}/renew`, {}))).statusCode,
    410,
    'the reservation expires',
  );
  await ask(() => get(worker, '/v1/ready?max_age_seconds=60'));
  const verified = (await ask(() => get(worker, '/v1/shards/a'))).json().last_verified_at;
  t.ok(Math.abs(Date.parse(verified) - Date.now()) < 60_000, 'an old verification is repeated, with its time');
  for (const shardId of ['a', 'b']) await ask(() => remove(worker, `/v1/shards/${shardId}`));
}

t.test('a jump of the wall clock changes no duration', onSimulator, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'vram-clock-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const auditLog = join(directory, 'audit.log');
  const worker = await startWorker(t, {
    listen: true,
    // The clock does not move while the test waits, so all of its requests can be in one second.
    env: { WORKER_AUDIT_LOG: auditLog, WORKER_REQUESTS_PER_SECOND: '1000000' },
  });
  const clocks = Clocks.take(t);
  let jumps = 0;
  const jump = async (ms: number) => {
    await survive(t, worker, clocks, ms);
    jumps++;
  };
  for (const ms of steps) await jump(ms);
  const drawn = fc.integer({ min: -30 * day, max: 30 * day });
  await fc.assert(fc.asyncProperty(drawn, jump), { numRuns: scale(4, 400), ...seeded(), endOnFailure: true });

  const lines = readFileSync(auditLog, 'utf8').trimEnd().split('\n');
  const entries = lines.map((line) => JSON.parse(line));
  const chained = entries.slice(1).filter(({ previous, seq }, index) => {
    const hash = createHash('sha256')
      .update(lines[index] ?? '')
      .digest('hex');
    return previous === hash && seq === index + 2;
  });
  t.equal(chained.length, lines.length - 1, 'the audit chain is intact');
  const backwards = entries.filter(({ time }, index) => index > 0 && time < entries[index - 1].time);
  t.ok(backwards.length >= 2, 'its times are of the wall clock, which jumped back');
  t.comment(`figure: jumps of the wall clock survived ${jumps} of ${jumps}`);
});

const library = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
  .map((path) => join(path, 'faketime/libfaketimeMT.so.1'))
  .find(existsSync);
const withFaketime = library === undefined ? { skip: 'the package faketime is not installed' } : onSimulator;

t.test('a worker process keeps its deadlines when its clock is set', withFaketime, async (t) => {
  const jumps = long ? steps : [hour, -30 * day];
  for (const ms of jumps) {
    const directory = temporaryDirectory(t);
    const faketime = join(directory, 'faketime');
    writeFileSync(faketime, '+0');
    const worker = await startProcess(t, directory, {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: faketime,
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      WORKER_UPLOAD_IDLE_SECONDS: '1',
    });
    const headers = { authorization: worker.authorization, 'content-type': 'application/json' };
    const ask = (path: string, body?: object) =>
      fetch(`${worker.url}${path}`, { headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) });
    const plan = { model_ref: 'm', model_bytes: 1, shard_layout: 'single', reserve: true };
    const reserve = async (ttl_seconds: number): Promise<string> => {
      const planned = await ask('/v1/plan', { ...plan, ttl_seconds });
      return JSON.parse(await planned.text()).reservation.reservation_id;
    };
    const [kept, brief] = [await reserve(3600), await reserve(1)];

    writeFileSync(faketime, `${ms < 0 ? '' : '+'}${ms / 1000}`);

    const renewed = await ask(`/v1/reservations/${kept}/renew`, {});
    t.equal(renewed.status, 200, 'a reservation is renewed');
    const endsIn = Date.parse(JSON.parse(await renewed.text()).expires_at) - Date.now() - hour;
    t.ok(Math.abs(endsIn - ms) < hour / 2, `the worker's clock was set by ${ms / hour} h`);
    const stalled = new OpenUpload(worker.url, { shard_id: 'a', model_ref: 'm' }, 100, worker.authorization);
    t.equal((await stalled.heard).status, 408, 'a stalled upload times out');
    const ended = await ask(`/v1/reservations/${brief}/renew`, {});
    t.equal(ended.status, 410, 'an expired reservation is not renewed');
    worker.child.kill('SIGTERM');
    t.equal(await worker.exited, 0, 'SIGTERM ends it');
  }
  t.comment(`figure: worker processes whose clock was set ${jumps.length} of ${jumps.length}`);
});
