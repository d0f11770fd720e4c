import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventStream } from '../../src/http/routes/event_stream.js';
import { patternBytes } from '../support/bytes.js';
import {
  endedPull,
  headOf,
  modelOf,
  modelOfSizes,
  pullBody,
  type SourceOptions,
  sendRange,
  startPull,
  startPuller,
  startSource,
  tensorFile,
} from '../support/pull_source.js';
import { head, RawClient } from '../support/raw_http.js';
import { availableBytes, get, mebibyte, post, remove, sha256, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { type TestWorker, token } from '../support/worker.js';
import { long } from './scale.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DEVICES = '128MiB,128MiB';

const sizes = [700_000, 5000, 1_300_000];
const unknown = 999;

/** Each of the two slots leaves at most one idle stream with its events, which the next load takes. */
const idleStreamObjects = 6;

t.afterEach(() => simulator.reset());

const shardsOf = async (worker: TestWorker): Promise<{ shard_id: string; state: string }[]> =>
  (await get(worker, '/v1/shards?limit=1000')).json().shards;

async function releaseAll(worker: TestWorker): Promise<void> {
  for (const { shard_id } of await shardsOf(worker)) await remove(worker, `/v1/shards/${shard_id}`);
}

/** Everything that a failed pull must give back. */
async function held(worker: TestWorker) {
  return {
    available: await availableBytes(worker),
    commits: worker.residency.commitsInProgress,
    waiting: worker.residency.stats().commitsWaiting,
    shards: await shardsOf(worker),
  };
}

async function scene(t: Test, files: ReadonlyMap<string, Buffer>, options: SourceOptions = {}, env = {}) {
  const source = await startSource(t, files, options);
  const worker = await startPuller(t, source, { env: { WORKER_COMMIT_SLOTS: '2', ...env } });
  return { source, worker, before: await held(worker) };
}

t.test('if any driver call fails, a pull seals every file or gives everything back', onSimulator, async (t) => {
  const { source, worker, before } = await scene(t, modelOfSizes(sizes));
  simulator.reset();
  await startPull(worker, source, 'probe');
  t.match(await endedPull(worker, 'probe'), { state: 'sealed' });
  const calls = simulator.calls('*');
  await releaseAll(worker);
  const live = simulator.live('*');
  let [sealed, failed] = [0, 0];
  for (let nth = 1; nth <= calls; nth += long ? 1 : 5) {
    simulator.faults(`*:${nth}=${unknown}`);
    await startPull(worker, source, `p${nth}`);
    const pull = await endedPull(worker, `p${nth}`);
    simulator.faults('');
    if (pull.state === 'sealed') {
      sealed++;
      t.equal((await shardsOf(worker)).length, sizes.length);
      await releaseAll(worker);
    } else {
      failed++;
      t.match(pull, { state: 'failed', problem: { code: 'CUDA_ERROR', status: 500 } }, `call ${nth}`);
    }
    await until(
      async () => JSON.stringify(await held(worker)) === JSON.stringify(before),
      `call ${nth}: something is held`,
    );
    t.ok(simulator.live('*') <= live + idleStreamObjects, `call ${nth}: no driver object is left`);
  }
  t.ok(failed > 5, `${failed} pulls failed, ${sealed} were sealed`);
  t.comment(`figure: pulls with a failing driver call, all or nothing, ${failed + sealed} of ${failed + sealed}`);
});

t.test('a cancel at any step of any file gives everything back, also the reservation', async (t) => {
  let at = { name: '', half: false };
  let onStep = (): void => undefined;
  let goOn = (): void => undefined;
  const files = modelOfSizes(sizes);
  const { source, worker, before } = await scene(t, files, {
    answer: ({ name, response, bytes, start, end }) => {
      if (name !== at.name) return false;
      const middle = at.half ? start + Math.floor((end - start) / 2) : start;
      response.writeHead(206, headOf(bytes, start, end));
      response.write(bytes.subarray(start, middle), onStep);
      goOn = () => response.end(bytes.subarray(middle, end));
      return true;
    },
  });
  const plan = await post(worker, '/v1/plan', {
    model_ref: 'model',
    shard_layout: 'single',
    shards: [...files.values()].slice(0, -1).map((bytes) => ({ bytes: bytes.length })),
    reserve: true,
    ttl_seconds: 600,
  });
  const reservationId: string = plan.json().reservation.reservation_id;
  const reserved = await held(worker);
  let cancelled = 0;
  for (const name of files.keys()) {
    for (const half of [false, true]) {
      for (const withReservation of [false, true]) {
        const id = `${half ? 'half' : 'start'}-${withReservation ? 'reserved' : 'free'}-${cancelled}`;
        at = { name, half };
        const reached = new Promise<void>((resolve) => {
          onStep = resolve;
        });
        await startPull(worker, source, id, withReservation ? { reservation_id: reservationId } : {});
        await reached;
        t.equal((await remove(worker, `/v1/pulls/${id}`)).statusCode, 202);
        t.equal((await remove(worker, `/v1/pulls/${id}`)).statusCode, 202, 'a second cancel changes nothing');
        goOn();
        const pull = await endedPull(worker, id);
        t.match(pull, { state: 'cancelled', problem: { code: 'PULL_CANCELLED' } }, `${name} ${id}`);
        t.same(await held(worker), reserved, `${name} ${id}: everything is given back`);
        cancelled++;
      }
    }
  }
  t.comment(`figure: pulls cancelled at a step of a file, everything given back, ${cancelled} of ${cancelled}`);
  await remove(worker, `/v1/reservations/${reservationId}`);
  t.same(await held(worker), before);
});

t.test('84 files are pulled with 2 commit slots', async (t) => {
  const files = modelOfSizes(Array.from({ length: 84 }, (_, index) => 1000 + index));
  const { source, worker } = await scene(t, files, {}, { WORKER_COMMIT_QUEUE: '0' });
  await startPull(worker, source, 'many');
  const pull = await endedPull(worker, 'many');
  t.match(pull, { state: 'sealed', problem: null });
  t.equal(pull.files.length, 84);
  t.ok((await shardsOf(worker)).every(({ state }) => state === 'sealed'));
});

t.test(
  'of two pulls that race for the last memory, one is sealed, and the other one gives everything back',
  onSimulator,
  async (t) => {
    const { source, worker } = await scene(t, modelOfSizes([70 * mebibyte, 70 * mebibyte, 5000]));
    await Promise.all([startPull(worker, source, 'a'), startPull(worker, source, 'b')]);
    const pulls = [await endedPull(worker, 'a'), await endedPull(worker, 'b')];
    t.same(pulls.map(({ state }) => state).sort(), ['failed', 'sealed']);
    t.match(
      pulls.find(({ state }) => state === 'failed'),
      { problem: { code: 'VRAM_OOM', status: 507, needed_bytes: /\d/, available_bytes: /\d/ } },
    );
    t.equal((await shardsOf(worker)).length, 3);
  },
);

t.test('a pull whose source stalls gives its only commit slot to an upload, and continues', async (t) => {
  let go: () => void = () => undefined;
  const source = await startSource(t, modelOfSizes([1_000_000]), {
    answer: ({ name, response, bytes, start, end }) => {
      if (!name.endsWith('.safetensors') || end - start < bytes.length) return false;
      response.writeHead(206, headOf(bytes, start, end)).write(bytes.subarray(start, start + 500_000));
      go = () => response.end(bytes.subarray(start + 500_000, end));
      return true;
    },
  });
  const worker = await startPuller(t, source, { env: { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '1' } });
  await startPull(worker, source, 'a');
  await until(async () => (await get(worker, '/v1/pulls/a')).json().received_bytes >= 500_000, 'the source stalls');
  t.equal((await upload(worker, 'other', patternBytes(5000))).statusCode, 201);
  go();
  t.match(await endedPull(worker, 'a'), { state: 'sealed', fetched_bytes: Number });
});

t.test('wrong bytes are fetched once more, and then are final', async (t) => {
  const files = modelOfSizes(sizes);
  const [, second = ''] = files.keys();
  let lies = 1;
  const { source, worker, before } = await scene(t, files, {
    answer: ({ name, response, bytes, start, end, request }) => {
      const isWhole = start === 0 && end === bytes.length && request.headers.range !== undefined;
      if (name !== second || !isWhole || lies === 0) return false;
      lies--;
      const wrong = Buffer.from(bytes);
      wrong[wrong.length - 1] = 0x55;
      response.writeHead(206, headOf(bytes, start, end)).end(wrong);
      return true;
    },
  });
  await startPull(worker, source, 'once', { format_check: 'off' });
  const once = await endedPull(worker, 'once');
  t.match(once, { state: 'sealed' });
  t.match(once.files[1], { attempts: 2, state: 'sealed', last_problem: { code: 'DIGEST_MISMATCH' } });
  t.equal(once.fetched_bytes, once.bytes + once.files[1].bytes);
  t.equal(once.received_bytes, once.bytes);
  await releaseAll(worker);
  lies = 2;
  await startPull(worker, source, 'twice', { format_check: 'off' });
  const twice = await endedPull(worker, 'twice');
  t.match(twice, { state: 'failed', problem: { code: 'DIGEST_MISMATCH', status: 422 } });
  t.ok(twice.problem.detail.startsWith(`${second}: `), twice.problem.detail);
  t.same(
    twice.files.map(({ state }: { state: string }) => state).filter((state: string) => state === 'failed'),
    ['failed'],
  );
  t.same(await held(worker), before);
});

t.test('a source that cuts every connection is read to the end, and progress never falls', async (t) => {
  const files = modelOfSizes([4 * mebibyte]);
  const { source, worker } = await scene(t, files, {
    answer: ({ name, response, bytes, start, end }) => {
      if (!name.endsWith('.safetensors') || end - start <= mebibyte) return false;
      response.writeHead(206, headOf(bytes, start, end));
      response.write(bytes.subarray(start, start + mebibyte), () => setTimeout(() => response.destroy(), 20));
      return true;
    },
  });
  const seen: number[] = [];
  await startPull(worker, source, 'cut');
  await until(async () => {
    const pull = (await get(worker, '/v1/pulls/cut')).json();
    seen.push(pull.received_bytes);
    return pull.ended_at !== null;
  });
  const pull = await endedPull(worker, 'cut');
  t.match(pull, { state: 'sealed' });
  t.ok(pull.files[0].attempts > 2, `${pull.files[0].attempts} attempts`);
  t.match(pull.files[0].last_problem, { code: 'SOURCE_UNAVAILABLE' });
  t.same(
    seen,
    [...seen].sort((a, b) => a - b),
  );
  t.ok(pull.fetched_bytes <= 1.01 * pull.bytes);
});

t.test('a pull that must not begin claims no memory, and says why', async (t) => {
  const files = modelOfSizes(sizes);
  const [first = ''] = files.keys();
  const bytes = files.get(first) ?? Buffer.alloc(0);
  const { source, worker, before } = await scene(t, files, { withoutDigest: [first] });
  const broken = await startSource(t, modelOf([tensorFile('t0', 9), Buffer.alloc(5000, 1)]));
  const rows: readonly (readonly [string, string, object])[] = [
    ['no-digest', 'INVALID_PARAMS', {}],
    ['wrong-digest', 'DIGEST_MISMATCH', { digest: 'allow', expected: { [[...files.keys()][1] ?? '']: sha256(bytes) } }],
    ['unknown-path', 'INVALID_PARAMS', { digest: 'allow', expected: { absent: sha256(bytes) } }],
    ['absent', 'SOURCE_NOT_FOUND', { source: { type: 'http', url: `${source.url}absent.gguf` } }],
    ['outside', 'SOURCE_FORBIDDEN', { source: { type: 'http', url: 'http://127.0.0.1:1/x' } }],
    ['other', 'SOURCE_FORBIDDEN', { source: { type: 'http', url: `${broken.url}model.safetensors.index.json` } }],
  ];
  for (const [id, code, fields] of rows) {
    await startPull(worker, source, id, fields);
    t.match(await endedPull(worker, id), { state: 'failed', problem: { code } }, id);
    t.same(await held(worker), before, id);
  }
  await startPull(worker, source, 'allowed', { digest: 'allow' });
  t.match(await endedPull(worker, 'allowed'), { state: 'sealed' });
  await releaseAll(worker);
  await startPull(worker, source, 'expected', { expected: { [first]: sha256(bytes) } });
  t.match(await endedPull(worker, 'expected'), { state: 'sealed' });
  const invalid = await startPuller(t, broken);
  await startPull(invalid, broken, 'format');
  t.match(await endedPull(invalid, 'format'), { state: 'failed', problem: { code: 'FORMAT_INVALID' } });
  t.same(await shardsOf(invalid), []);
});

t.test('a source that never answers ends a pull at its deadline', async (t) => {
  const { source, worker, before } = await scene(t, modelOfSizes(sizes), {
    answer: ({ name }) => name.endsWith('.safetensors'),
  });
  await startPull(worker, source, 'late', { deadline_seconds: 1 });
  t.match(await endedPull(worker, 'late'), { state: 'failed', problem: { code: 'SOURCE_TIMEOUT' } });
  t.same(await held(worker), before);
});

t.test('a pull that waits ends at its deadline', async (t) => {
  const { source, worker, before } = await scene(t, modelOfSizes(sizes), {
    answer: ({ name }) => name.endsWith('.safetensors'),
  });
  for (let number = 1; number <= 4; number++) await startPull(worker, source, `p${number}`);
  const late = await startPull(worker, source, 'late', { deadline_seconds: 1 });
  t.match(late.json(), { state: 'queued' });
  t.match(await endedPull(worker, 'late'), { state: 'failed', problem: { code: 'SOURCE_TIMEOUT' } });
  t.match((await get(worker, '/v1/pulls/p1')).json(), { ended_at: null });
  worker.pulls.drain();
  for (let number = 1; number <= 4; number++) await endedPull(worker, `p${number}`);
  t.same(await held(worker), before);
});

t.test('pulls beyond the queue are refused, and a shutdown ends all with DRAINING', async (t) => {
  const { source, worker, before } = await scene(
    t,
    modelOfSizes(sizes),
    { answer: ({ name }) => name.endsWith('.safetensors') },
    { WORKER_PULL_QUEUE: '1' },
  );
  for (let number = 1; number <= 5; number++) {
    t.equal((await startPull(worker, source, `p${number}`)).statusCode, 202);
  }
  const refused = await startPull(worker, source, 'p6');
  t.match(refused.json(), { status: 429, code: 'TOO_MANY_PULLS', retriable: true });
  t.ok(refused.headers['retry-after']);
  t.match((await get(worker, '/v1/pulls/p5')).json(), { state: 'queued' });
  await remove(worker, '/v1/pulls/p5');
  t.match(await endedPull(worker, 'p5'), { state: 'cancelled' });
  worker.pulls.drain();
  for (let number = 1; number <= 4; number++) {
    t.match(await endedPull(worker, `p${number}`), { state: 'failed', problem: { code: 'DRAINING' } });
  }
  t.match((await startPull(worker, source, 'p7')).json(), { status: 503, code: 'DRAINING' });
  t.match((await get(worker, '/v1/pulls?limit=2')).json(), { next_cursor: 'p2' });
  t.match((await get(worker, '/v1/pulls?cursor=p3')).json(), { pulls: [{ pull_id: 'p4' }, { pull_id: 'p5' }] });
  t.same(await held(worker), before);
});

/** The events of a stream, as name and data. */
const eventsIn = (text: string) =>
  text
    .split('\n\n')
    .filter((part) => part.startsWith('event: '))
    .map((part) => {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/s.exec(part) ?? [];
      return { name, data: JSON.parse(data) };
    });

t.test('the events of a pull begin with a snapshot and end with the result', async (t) => {
  let begin = (): void => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let cut: (() => void) | undefined;
  const source = await startSource(t, modelOfSizes([2 * mebibyte, 5000]), {
    answer: ({ name, response, bytes, start, end }) => {
      if (!name.endsWith('.safetensors') || end - start < mebibyte || cut !== undefined) return false;
      cut = () => response.destroy();
      response.writeHead(206, headOf(bytes, start, end));
      void begun.then(() => response.write(bytes.subarray(start, start + mebibyte)));
      return true;
    },
  });
  const worker = await startPuller(t, source, { listen: true });
  await startPull(worker, source, 'a');
  const headers = { authorization: `Bearer ${token}` };
  const stream = await fetch(`${worker.url}/v1/pulls/a/events`, { headers });
  t.equal(stream.status, 200);
  t.equal(stream.headers.get('content-type'), 'text/event-stream');
  let text = '';
  for await (const part of stream.body ?? []) {
    text += Buffer.from(part).toString();
    begin();
    if (text.includes('event: progress')) cut?.();
  }
  const events = eventsIn(text);
  const names = events.map(({ name }) => name);
  t.equal(names[0], 'snapshot');
  t.equal(names.at(-1), 'end');
  t.ok(names.includes('file') && names.includes('progress') && names.includes('retry'), names.join(' '));
  t.match(events.at(-1)?.data, { state: 'sealed' });
  t.match(events.find(({ name }) => name === 'retry')?.data, {
    path: /safetensors/,
    problem: { code: 'SOURCE_UNAVAILABLE' },
  });
  t.same(
    eventsIn((await get(worker, '/v1/pulls/a/events')).body).map(({ name }) => name),
    ['snapshot', 'end'],
    'a pull that has ended',
  );
});

t.test('a request can wait for a change, or for the end of a pull', async (t) => {
  let release = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { source, worker } = await scene(t, modelOfSizes(sizes), {
    answer: ({ name, response, bytes, start, end }) => {
      if (!name.endsWith('.safetensors')) return false;
      void opened.then(() => sendRange(response, bytes, start, end));
      return true;
    },
  });
  await startPull(worker, source, 'a');
  await until(async () => (await get(worker, '/v1/pulls/a')).json().state === 'inspecting');
  const now = await get(worker, '/v1/pulls/a');
  const etag = String(now.headers.etag);
  const known = { 'if-none-match': etag };
  t.equal((await worker.inject({ url: '/v1/pulls/a', headers: known })).statusCode, 304);
  t.equal((await worker.inject({ url: '/v1/pulls/a?wait_seconds=1', headers: known })).statusCode, 304);
  const change = worker.inject({ url: '/v1/pulls/a?wait_seconds=60', headers: known });
  const end = get(worker, '/v1/pulls/a?wait_seconds=60');
  release();
  t.not((await change).headers.etag, etag);
  t.match((await end).json(), { state: 'sealed' });
});

t.test('a shard that is already sealed is not fetched again, and another one with its id is a conflict', async (t) => {
  const files = modelOfSizes(sizes);
  const { source, worker } = await scene(t, files);
  await startPull(worker, source, 'a');
  await endedPull(worker, 'a');
  await remove(worker, '/v1/shards/a-1');
  await post(worker, '/v1/pulls', { ...pullBody(source, 'again'), shard_id_prefix: 'a' });
  const again = await endedPull(worker, 'again');
  t.match(again, { state: 'sealed' });
  t.same(
    again.files.map(({ attempts }: { attempts: number }) => attempts),
    [0, 1, 0],
  );
  t.equal(again.fetched_bytes, again.files[1].bytes);
  await post(worker, '/v1/pulls', { ...pullBody(source, 'other', { model_ref: 'other' }), shard_id_prefix: 'a' });
  t.match(await endedPull(worker, 'other'), { state: 'failed', problem: { code: 'SHARD_CONFLICT' } });
  t.equal((await shardsOf(worker)).length, 3);
});

t.test('a bounded number of clients watches pulls, and one that leaves makes room', async (t) => {
  const source = await startSource(t, modelOfSizes(sizes), { answer: ({ name }) => name.endsWith('.safetensors') });
  const readToken = 'read-token-0123456789abcdef0123456789';
  const file = join(temporaryDirectory(t), 'read-token');
  writeFileSync(file, readToken, { mode: 0o600 });
  const worker = await startPuller(t, source, { env: { WORKER_READ_TOKEN_FILE: file }, listen: true });
  await startPull(worker, source, 'a');
  const departures = Array.from({ length: 64 }, () => new AbortController());
  const watch = (signal: AbortSignal) =>
    fetch(`${worker.url}/v1/pulls/a/events`, { headers: { authorization: `Bearer ${readToken}` }, signal });
  const streams = await Promise.all(departures.map(({ signal }) => watch(signal)));
  t.ok(
    streams.every(({ status }) => status === 200),
    'a read token may watch',
  );
  const late = new AbortController();
  const refused = await watch(late.signal);
  t.equal(refused.status, 429);
  await refused.text();

  const headers = { authorization: `Bearer ${token}` };
  const operator = new AbortController();
  const ofOperator = await fetch(`${worker.url}/v1/pulls/a/events`, { headers, signal: operator.signal });
  t.equal(ofOperator.status, 200, 'readers do not take the places of operators');
  operator.abort();
  const elsewhere = new RawClient(worker.url, { localAddress: '127.0.0.2' });
  elsewhere.send(head('GET /v1/pulls/a/events', { Authorization: `Bearer ${readToken}` }));
  t.match(await elsewhere.until(/snapshot/), / 200 OK/, 'another network gets a place');
  const texts = streams.map((stream) => stream.text());
  const evicted = await Promise.any(texts.map(async (text, index) => (await text) && index));
  t.notMatch(await texts[Number(evicted)], /event: end/, 'a stream of the first network has ended for it');

  const left = evicted === 0 ? 1 : 0;
  const gone = t.rejects(Promise.resolve(texts[left]), { name: 'AbortError' });
  departures[left]?.abort();
  await gone;
  await until(async () => {
    const again = new AbortController();
    const { status } = await watch(again.signal);
    again.abort();
    return status === 200;
  });
  for (const [method, path] of [
    ['POST', '/v1/pulls'],
    ['DELETE', '/v1/pulls/a'],
  ] as const) {
    const answer = await fetch(worker.url + path, {
      method,
      headers: { authorization: `Bearer ${readToken}`, 'content-type': 'application/json' },
      ...(method === 'POST' ? { body: '{}' } : {}),
    });
    t.equal(answer.status, 403, `${method} needs the API token`);
  }
  worker.pulls.drain();
  const others = await Promise.all(texts.filter((_, index) => index !== evicted && index !== left));
  t.ok(
    others.every((text) => /event: end\ndata: .*DRAINING/.test(text)),
    'a shutdown ends every stream',
  );
  await elsewhere.leave();
});

t.test('a client that reads slowly gets the newest state of each file, and then the end', async (t) => {
  const source = await startSource(t, modelOfSizes(Array.from({ length: 40 }, () => 2000)));
  const worker = await startPuller(t, source);
  await startPull(worker, source, 'a');
  const stream = eventStream(worker.pulls.require('a'), new AbortController().signal);
  t.match((await stream.next()).value, /^event: snapshot/);
  await endedPull(worker, 'a');
  const parts: string[] = [];
  for await (const part of stream) parts.push(part);
  t.equal(parts.length, 2, 'one part with the changes, and the end');
  const files = eventsIn(parts[0] ?? '').filter(({ name }) => name === 'file');
  t.same(
    files.map(({ data }) => data.state),
    Array(40).fill('sealed'),
  );
});
