import t, { type Test } from 'tap';
import { deriveSealKey, type SharedKey } from '../../src/seal/key.js';
import { patternBytes } from '../support/bytes.js';
import { newPrivateKey, signingWithEd25519 } from '../support/key_files.js';
import { get, post, upload } from '../support/requests.js';
import { startWorker, type TestWorker, token } from '../support/worker.js';
import type { Forge, Target } from './forgery/forge.js';
import { Random } from './forgery/random.js';
import { signedForgeries } from './forgery/signed.js';
import { textForgeries } from './forgery/text.js';
import { scale } from './scale.js';
import { patient, unlessShed } from './shed.js';

const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 31);
const bytes = patternBytes(5000);
const read = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString());

const forgeries: readonly (readonly [string, Forge])[] = Object.entries({ ...textForgeries, ...signedForgeries });

/** A worker with a current handle, and everything that an attacker may have collected. */
async function prepare(t: Test, env: NodeJS.ProcessEnv, shared: SharedKey | undefined) {
  const earlier = await startWorker(t, { env });
  const ofEarlierBoot = (await upload(earlier, 'a', bytes)).json().handle;
  await earlier.stop();
  const other = await startWorker(t, { env: { ...env, WORKER_ID: 'worker-2' } });
  const ofOtherWorker = (await upload(other, 'a', bytes)).json().handle;
  await other.stop();
  const worker = await startWorker(t, { env });
  const { handle } = (await upload(worker, 'a', bytes)).json();
  const { attestation } = (await get(worker, '/v1/ready?nonce=n')).json();
  const [header = '', payload = '', signature = ''] = handle.split('.');
  const { keys } = (await worker.app.inject('/.well-known/jwks.json')).json();
  const { kid } = read(header);
  const publicBytes = [Buffer.from(kid), Buffer.from(kid, 'hex'), Buffer.from('worker-1')];
  if (keys.length > 0) publicBytes.push(Buffer.from(keys[0].x, 'base64url'), Buffer.from(keys[0].x));
  const target: Target = {
    ...{ handle, parts: [header, payload, signature], header: read(header), claims: read(payload), publicBytes },
    ...{ ofEarlierBoot, ofOtherWorker, attestation, shared },
  };
  return { worker, target };
}

/** A text that differs from the current handle. Each kind of forgery in turn. */
function draw(round: number, target: Target, random: Random): { name: string; text: string } {
  for (;;) {
    const [name, forge] = forgeries[round % forgeries.length] ?? ['', () => ''];
    const text = forge(target, random);
    if (text !== target.handle) return { name, text };
  }
}

/** Sends `count` forgeries. Returns those that the worker accepted, and the count of each refusal reason. */
function attack(worker: TestWorker, target: Target, count: number, random: Random) {
  const accepted: string[] = [];
  const reasons = new Map<string, number>();
  for (let round = 0; round < count; round++) {
    const { name, text } = draw(round, target, random);
    const { valid, reason } = worker.residency.verifyHandle(text);
    if (valid) accepted.push(`${name}: ${text}`);
    reasons.set(reason ?? 'none', (reasons.get(reason ?? 'none') ?? 0) + 1);
  }
  return { accepted, reasons };
}

async function attackOverHttp(worker: TestWorker, target: Target, count: number, random: Random): Promise<string[]> {
  const accepted: string[] = [];
  for (let round = 0; round < count; round++) {
    const { name, text: handle } = draw(round, target, random);
    const answer = await unlessShed(
      () => post(worker, '/v1/handles/verify', { handle }),
      ({ body }) => body,
    );
    const refused = answer.statusCode === 400 || (answer.statusCode === 200 && answer.json().valid === false);
    if (!refused) accepted.push(`${answer.statusCode} ${name}: ${handle}`);
  }
  return accepted;
}

const workers: readonly (readonly [string, (t: Test) => NodeJS.ProcessEnv, SharedKey | undefined, number])[] = [
  ['HS256', () => ({}), deriveSealKey(Buffer.from(token), 'worker-1'), scale(15_000, 800_000)],
  ['Ed25519', (t) => signingWithEd25519(t, newPrivateKey()), undefined, scale(5_000, 200_000)],
];

for (const [algorithm, env, shared, count] of workers) {
  t.test(`no forged handle is accepted: ${algorithm}`, async (t) => {
    const random = new Random(seed);
    const { worker, target } = await prepare(t, { ...env(t), ...patient }, shared);
    const { accepted, reasons } = attack(worker, target, count, random);
    t.same(accepted.slice(0, 10), [], `seed ${seed}`);
    for (const reason of ['malformed', 'unknown_key', 'signature', 'stale_boot'] as const) {
      t.ok((reasons.get(reason) ?? 0) > 0, `some are refused as ${reason}`);
    }
    const sample = scale(300, 20_000);
    t.same((await attackOverHttp(worker, target, sample, random)).slice(0, 10), [], `over HTTP, seed ${seed}`);
    t.equal(worker.residency.verifyHandle(target.handle).valid, true, 'the real handle is still valid');
    t.comment(`figure: forged ${algorithm} handles refused ${count - accepted.length} of ${count}`);
  });
}
