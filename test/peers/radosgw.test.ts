import { createHash } from 'node:crypto';
import t from 'tap';
import { Secret } from '../../src/sources/egress/secret.js';
import { readRange } from '../../src/sources/read_range.js';
import type { S3Settings } from '../../src/sources/settings/schema.js';
import { patternBytes } from '../support/bytes.js';
import { claimsOf } from '../support/handles.js';
import { anySignal, lookupOf } from '../support/http_sources.js';
import { cephHost, startCeph } from '../support/peers/ceph.js';
import { S3Client } from '../support/peers/s3_client.js';
import { endedPull, modelOfSizes } from '../support/pull_source.js';
import { post } from '../support/requests.js';
import { s3Registry, s3Source } from '../support/s3_sources.js';
import { startWorker } from '../support/worker.js';

const mebibyte = 1024 * 1024;
const content = patternBytes(12 * mebibyte);
const hex = createHash('sha256').update(content).digest('hex');
const whole = { offset: 0, length: content.length };
const signal = anySignal();

process.env.CUDA_SIM_DIR = t.testdir({});
process.env.CUDA_SIM_ENGINE = 'fast';

t.test('objects of Ceph radosgw', async (t) => {
  const ceph = await startCeph(t);
  if (ceph === undefined) return void t.pass('a gateway', { skip: 'the packages of Ceph cannot be downloaded' });
  const origin = `http://127.0.0.1:${ceph.port}`;
  const client = new S3Client(origin, ceph.keys);
  const keys = { accessKeyId: ceph.keys.accessKeyId, secretAccessKey: new Secret(ceph.keys.secret) };
  const credentials = { ...keys, sessionToken: undefined };
  const common: S3Settings = {
    name: 'ceph',
    type: 's3',
    endpoint: origin,
    region: 'us-east-1',
    addresses: ['127.0.0.1'],
  };
  const pathStyle: S3Settings = { ...common, path_style: true };
  const hostStyle: S3Settings = { ...common, endpoint: `http://${cephHost}:${ceph.port}` };
  const lookup = lookupOf({ [`models.${cephHost}`]: ['127.0.0.1'] });
  const byPath = s3Source({ settings: pathStyle, credentials });
  const rest = { credentials, environment: { lookup } };
  const byHost = s3Source({ settings: hostStyle, ...rest });
  await client.createBucket('models');

  await t.test('keys of every form are read in path style and by virtual hosts', async (t) => {
    const names = ['llm/model.gguf', "a b+c/(d)!*'/é~ü.gguf", 'a//b', 'モデル/重み.gguf', '100% & x=y#z;v', "it's:@,$"];
    for (const key of names) {
      await client.put('models', key, content);
      for (const { open } of [byPath, byHost]) {
        const source = await open({ key });
        t.equal(source.totalBytes, content.length, key);
        const part = await readRange(source, { offset: 5 * mebibyte + 1, length: 70_000 }, { signal });
        t.ok(part.equals(content.subarray(5 * mebibyte + 1, 5 * mebibyte + 70_001)), key);
      }
    }
    t.ok((await readRange(await byPath.open({ key: 'llm/model.gguf' }), whole, { signal })).equals(content));
  });

  await t.test('the claim is the metadata of the writer, also of a multipart object', async (t) => {
    const headers = { 'x-amz-meta-sha256': hex };
    await client.put('models', 'claimed', content, headers);
    const parts = [content.subarray(0, 6 * mebibyte), content.subarray(6 * mebibyte)];
    await client.putMultipart('models', 'multipart', parts, headers);
    for (const key of ['claimed', 'multipart']) {
      const source = await byPath.open({ key });
      t.strictSame(source.claim, { digest: `sha256:${hex}`, from: 'metadata' }, key);
      t.ok((await readRange(source, whole, { signal })).equals(content), key);
    }
    t.match((await byPath.open({ key: 'multipart' })).etag, /-2"$/);
    t.equal((await byPath.open({ key: 'llm/model.gguf' })).claim, undefined);
  });

  await t.test('a worker commits an object, held to its metadata, and names it in the handle', async (t) => {
    const registry = s3Registry({ settings: pathStyle, credentials });
    const worker = await startWorker(t, { residency: { registry } });
    const source = { type: 's3', bucket: 'models', key: 'multipart' };
    const created = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', source });
    t.equal(created.statusCode, 201, created.body);
    t.match(claimsOf(created.json().handle), {
      digest: `sha256:${hex}`,
      expected_by: 'source',
      source: 's3://models/multipart',
    });
    await client.put('models', 'lying', content.subarray(1), { 'x-amz-meta-sha256': hex });
    const lying = { shard_id: 'b', model_ref: 'm', source: { ...source, key: 'lying' } };
    t.match((await post(worker, '/v1/commit', lying)).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  });

  await t.test('a worker pulls all files below a prefix', async (t) => {
    const worker = await startWorker(t, { residency: { registry: s3Registry({ settings: hostStyle, ...rest }) } });
    for (const [name, file] of modelOfSizes([3_000_000, 20_000, 5_000_000])) {
      const sha256 = createHash('sha256').update(file).digest('hex');
      await client.put('models', `model é/${name}`, file, { 'x-amz-meta-sha256': sha256 });
    }
    await client.put('models', 'model é/README.md', 'text');
    const source = { type: 's3', bucket: 'models', key: 'model é/' };
    const started = await post(worker, '/v1/pulls', { pull_id: 'p', source, shard_id_prefix: 'p' });
    t.equal(started.statusCode, 202, started.body);
    const pull = await endedPull(worker, 'p');
    t.match(pull, { state: 'sealed', problem: null });
    t.equal(pull.files.length, 3);
  });

  await t.test('a replaced object is refused in the middle', async (t) => {
    await client.put('models', 'replaced', content);
    const source = await byPath.open({ key: 'replaced' });
    await readRange(source, { offset: 0, length: mebibyte }, { signal });
    await client.put('models', 'replaced', patternBytes(12 * mebibyte, 7));
    await t.rejects(readRange(source, { offset: mebibyte, length: mebibyte }, { signal }), { code: 'SOURCE_CHANGED' });
  });

  await t.test('a version stays readable after it was replaced', async (t) => {
    await client.createBucket('versioned');
    await client.enableVersions('versioned');
    const first = await client.put('versioned', 'model.gguf', content);
    const { shards, ...model } = await byPath.resolve({ bucket: 'versioned', key: 'model.gguf' });
    t.match(model, { isImmutable: true, modelRef: `s3://versioned/model.gguf?versionId=${first}` });
    const source = await shards[0]?.open({ signal });
    await client.put('versioned', 'model.gguf', Buffer.from('another'));
    t.ok((await readRange(source as NonNullable<typeof source>, whole, { signal })).equals(content));
    const pinned = shards[0]?.pinned;
    const again = await byPath.open({ ...(pinned?.type === 's3' ? pinned : { key: '' }) });
    t.equal(again.totalBytes, content.length);
    await client.call({ method: 'DELETE', bucket: 'versioned', key: 'model.gguf' });
    await t.rejects(byPath.open({ bucket: 'versioned', key: 'model.gguf' }), { code: 'SOURCE_NOT_FOUND' });
    await t.rejects(byPath.open({ bucket: 'versioned', key: 'model.gguf', version_id: 'none' }), {
      code: 'SOURCE_NOT_FOUND',
    });
  });

  await t.test('a prefix of more than 1,000 keys is listed in pages', async (t) => {
    const names = Array.from({ length: 1100 }, (_, index) => `many/doc ${index}+é.txt`);
    for (let start = 0; start < names.length; start += 50) {
      await Promise.all(names.slice(start, start + 50).map((name) => client.put('models', name, 'text')));
    }
    await client.put('models', 'many/z-10.gguf', content);
    await client.put('models', 'many/z-9.gguf', content);
    for (const { resolve } of [byPath, byHost]) {
      const { shards, skipped } = await resolve({ key: 'many/' });
      t.strictSame(
        shards.map(({ path }) => path),
        ['z-9.gguf', 'z-10.gguf'],
      );
      t.strictSame(new Set(skipped), new Set(names.map((name) => name.slice('many/'.length))));
    }
  });

  await t.test('errors of the gateway have their own words', async (t) => {
    const wrong = { ...credentials, secretAccessKey: new Secret('wrong') };
    const unknown = { ...credentials, accessKeyId: 'AKIAUNKNOWN' };
    const late = { monotonicMs: () => performance.now(), epochMs: () => Date.now() - 3_600_000, after: () => () => {} };
    const cases: readonly (readonly [title: string, source: typeof byPath, key: object, error: object])[] = [
      ['key', byPath, { key: 'none' }, { code: 'SOURCE_NOT_FOUND', message: /object does not exist/ }],
      ['bucket', byPath, { bucket: 'none', key: 'x' }, { code: 'SOURCE_NOT_FOUND', message: /bucket/ }],
      ['secret', s3Source({ settings: pathStyle, credentials: wrong }), {}, { message: /secret_access_key/ }],
      ['access key', s3Source({ settings: pathStyle, credentials: unknown }), {}, { message: /access_key_id/ }],
      ['anonymous', s3Source({ settings: pathStyle }), {}, { code: 'SOURCE_AUTH_FAILED', message: /denied access/ }],
      [
        'clock',
        s3Source({ settings: pathStyle, credentials, environment: { clock: late } }),
        {},
        { code: 'SOURCE_AUTH_FAILED', message: /clock of this host/ },
      ],
    ];
    for (const [title, { open }, reference, error] of cases) {
      const wanted = error as { code: string };
      await t.rejects(open({ key: 'llm/model.gguf', ...reference }), wanted, title);
    }
  });
});
