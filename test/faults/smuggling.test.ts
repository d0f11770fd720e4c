import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { head, RawClient } from '../support/raw_http.js';
import { availableBytes, get, post, remove, upload } from '../support/requests.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { long, scale } from './scale.js';
import { patient, wasShed } from './shed.js';
import { corpus } from './smuggling/corpus.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const pause = () => new Promise((resolve) => setTimeout(resolve, 2));

/** The ways in which the bytes are split into writes. */
const cuts: Record<string, (text: string) => string[]> = {
  whole: (text) => [text],
  ...(long
    ? {
        'after the head': (text) => text.split(/(?<=\r\n\r\n)/),
        'line by line': (text) => {
          const lines = text.split(/(?<=\n)/);
          return [...lines.slice(0, 200), lines.slice(200).join('')];
        },
        'in the middle': (text) => [text.slice(0, text.length / 2), text.slice(text.length / 2)],
      }
    : {}),
};

/** Sends all pieces and closes its half of the connection. Returns the status of every answer. Repeats a shed request. */
async function say(worker: TestWorker, pieces: readonly string[]): Promise<number[]> {
  const client = new RawClient(worker.url);
  for (const piece of pieces) {
    client.send(Buffer.from(piece, 'latin1'));
    if (pieces.length > 1) await pause();
  }
  const heard = await client.finish().whole();
  if (wasShed(heard)) {
    await remove(worker, '/v1/shards/a');
    return say(worker, pieces);
  }
  return (heard.match(/(?<=HTTP\/1\.1 )\d{3}/g) ?? []).map(Number).filter((status) => status !== 102);
}

t.test('malformed requests are refused, and no request hidden in them is executed', async (t) => {
  const worker = await startWorker(t, { listen: true });
  t.equal((await upload(worker, 'victim', patternBytes(10_000))).statusCode, 201);
  const before = await availableBytes(worker);
  let cases = 0;
  let right = 0;
  for (const [cut, pieces] of Object.entries(cuts)) {
    for (const { name, text, statuses } of corpus) {
      const answers = await say(worker, pieces(text));
      const fine = statuses ? String(answers) === String(statuses) : answers.every((status) => status >= 400);
      const shards = () => worker.residency.shards({ limit: 10 }).shards;
      await until(() => shards().every(({ state }) => state === 'sealed'), 'a shard is not sealed');
      await remove(worker, '/v1/shards/a');
      const [left, ...more] = shards().map(({ shardId }) => shardId);
      const unharmed = left === 'victim' && more.length === 0;
      cases++;
      if (fine && unharmed) right++;
      else t.fail(`${name}, ${cut}: answered ${answers}, then ${left} ${more}`);
      if (!unharmed) await upload(worker, 'victim', patternBytes(10_000));
    }
  }
  t.same(await availableBytes(worker), before);
  t.equal(right, cases);
  t.comment(`figure: malformed requests refused, or answered as what they are ${right} of ${cases}`);
});

t.test('pipelined requests are answered in order, and mutations run one after the other', async (t) => {
  const worker = await startWorker(t, { listen: true, env: patient });
  const before = await availableBytes(worker);
  const bytes = patternBytes(30_000);
  const requests = {
    commit:
      head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': bytes.length }) + bytes.toString('latin1'),
    other: `${head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': 3 })}abc`,
    release: head('DELETE /v1/shards/a'),
    verify: head('POST /v1/shards/a/verify', { 'Content-Length': 0 }),
    look: head('GET /v1/shards/a'),
  };
  /** The answer to each request if no shard exists, or one of the two; and the shard that then exists. */
  type Here = 'nothing' | 'commit' | 'other';
  const answerTo = (name: keyof typeof requests, here: Here): [status: number, left: Here] => {
    if (name === 'commit' || name === 'other') {
      if (here === 'nothing') return [201, name];
      return [here === name ? 200 : 409, here];
    }
    if (here === 'nothing') return [404, here];
    return name === 'release' ? [204, 'nothing'] : [200, here];
  };
  const names = Object.keys(requests) as (keyof typeof requests)[];
  const rounds = scale(60, 3000);
  let serial = 0;
  for (let round = 0; round < rounds; round++) {
    // Each round has another order, by its digits in base 5.
    const order = Array.from({ length: 5 }, (_, index) => names[Math.floor(round / 5 ** index) % 5] ?? 'look');
    const answers = await say(worker, [order.map((name) => requests[name]).join('')]);
    let here: Here = 'nothing';
    const expected: number[] = [];
    for (const name of order) {
      const [status, left] = answerTo(name, here);
      expected.push(status);
      here = left;
      // A refused upload may close the connection if its body is not read completely.
      if (status === 409 && expected.length === answers.length) break;
    }
    const left = await get(worker, '/v1/shards/a');
    const whole = left.statusCode === 404 || (await post(worker, '/v1/shards/a/verify')).json().verified === true;
    if (String(answers) === String(expected) && whole) serial++;
    else t.fail(`${order}: answered ${answers}, not ${expected}, then ${left.statusCode}`);
    await remove(worker, '/v1/shards/a');
    const after = await availableBytes(worker);
    if (String(after) !== String(before)) t.same(after, before, `${order}`);
  }
  t.equal(serial, rounds);
  t.comment(`figure: pipelines executed in order ${serial} of ${rounds}`);
});
