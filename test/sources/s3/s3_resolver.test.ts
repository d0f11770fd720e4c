import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import t from 'tap';
import { readRange } from '../../../src/sources/read_range.js';
import { anySignal, lookupOf } from '../../support/http_sources.js';
import { credentials, fail, S3Server } from '../../support/s3_server.js';
import { s3Source } from '../../support/s3_sources.js';

const content = Buffer.from(Uint8Array.from({ length: 100_000 }, (_, at) => (at * 31) & 0xff));
const hash = createHash('sha256').update(content).digest();
const digest = `sha256:${hash.toString('hex')}`;
const whole = { offset: 0, length: content.length };
const signal = anySignal();

t.test('an object is read by signed ranges of one entity tag, in path style', async (t) => {
  const server = await S3Server.start(t, { 'llama/model.gguf': content });
  const { resolve } = s3Source({ settings: server.settings, credentials });
  const { shards, ...model } = await resolve({ key: 'llama/model.gguf' });
  t.strictSame(model, {
    modelRef: 's3://models/llama/model.gguf',
    isImmutable: false,
    digestRule: 'require',
    indexes: [],
    skipped: [],
  });
  const [shard] = shards;
  t.match(shard, { path: 'model.gguf', bytes: content.length, claim: undefined });
  t.strictSame(shard?.pinned, { type: 's3', bucket: 'models', key: 'llama/model.gguf', name: 'ceph' });
  const source = await shard?.open({ signal });
  t.ok(
    (await readRange(source as NonNullable<typeof source>, { offset: 5, length: 70_000 }, { signal })).equals(
      content.subarray(5, 70_005),
    ),
  );
  t.strictSame(
    server.requests.map(({ method, target, headers }) => [method, target, headers.get('if-match') !== undefined]),
    [
      ['HEAD', '/models/llama/model.gguf', false],
      ['GET', '/models/llama/model.gguf', true],
    ],
  );
  t.equal(server.requests[0]?.headers.get('x-amz-checksum-mode'), 'ENABLED');
});

t.test('the bucket is part of the host name without path_style', async (t) => {
  const server = await S3Server.start(t, { 'a b/é+.gguf': content });
  server.isPathStyle = false;
  const lookup = lookupOf({ 'models.s3.test': ['127.0.0.1'] });
  const { open, resolve } = s3Source({ settings: server.settings, credentials, environment: { lookup } });
  const source = await open({ key: 'a b/é+.gguf' });
  t.ok((await readRange(source, whole, { signal })).equals(content));
  t.match(server.requests[0]?.headers.get('host'), /^models\.s3\.test:[0-9]+$/);
  for (const bucket of ['Models', 'mod..els', 'models.', 'models-']) {
    await t.rejects(resolve({ bucket, key: 'x' }), { code: 'INVALID_PARAMS', message: /path_style/ }, bucket);
  }
});

t.test('keys with spaces, signs, empty segments and other alphabets are signed as they are sent', async (t) => {
  const keys = ["a b+c/(d)!*'/é~ü.gguf", '/leading', 'a//b', 'モデル/重み.gguf', '100% & more=x?y#z;v', "it's:@,$"];
  const server = await S3Server.start(t, Object.fromEntries(keys.map((key) => [key, content])));
  const { open } = s3Source({ settings: server.settings, credentials });
  for (const key of keys) {
    const source = await open({ key });
    t.ok((await readRange(source, { offset: 1, length: 9 }, { signal })).equals(content.subarray(1, 10)), key);
  }
});

t.test('requests without credentials are anonymous', async (t) => {
  const server = await S3Server.start(t, { 'model.gguf': content });
  const { open } = s3Source({ settings: server.settings });
  await t.rejects(open({ key: 'model.gguf' }), { code: 'SOURCE_AUTH_FAILED' });
  server.signs = false;
  const source = await open({ key: 'model.gguf' });
  t.ok((await readRange(source, whole, { signal })).equals(content));
  t.notOk(server.requests.some(({ headers }) => headers.has('authorization') || headers.has('x-amz-date')));
});

t.test('a version is pinned in the reference and in every range', async (t) => {
  const server = await S3Server.start(t);
  server.put('model.gguf', content, { version: 'v.1+/=' });
  const { resolve } = s3Source({ settings: server.settings, credentials });
  for (const version_id of [undefined, 'v.1+/=']) {
    server.requests.length = 0;
    const { shards, ...model } = await resolve({
      key: 'model.gguf',
      ...(version_id === undefined ? {} : { version_id }),
    });
    t.match(model, { isImmutable: true, modelRef: 's3://models/model.gguf?versionId=v.1+/=' });
    t.match(shards[0]?.pinned, { version_id: 'v.1+/=' });
    const source = await shards[0]?.open({ signal });
    await readRange(source as NonNullable<typeof source>, whole, { signal });
    t.equal(server.requests.at(-1)?.query.get('versionId'), 'v.1+/=');
  }
  await t.rejects(resolve({ key: 'model.gguf', version_id: 'v2' }), { code: 'SOURCE_NOT_FOUND', message: /version/ });
  server.put('model.gguf', content, { version: 'null' });
  t.match(await resolve({ key: 'model.gguf' }), { isImmutable: false }, 'the version null is replaced by writes');
});

t.test('a source that ignores the requested version is refused', async (t) => {
  const server = await S3Server.start(t, { 'model.gguf': content });
  server.intercept = ({ query }) => {
    query.delete('versionId');
    return false;
  };
  const { resolve } = s3Source({ settings: server.settings, credentials });
  await t.rejects(resolve({ key: 'model.gguf', version_id: 'v1' }), { code: 'SOURCE_INVALID', message: /version/ });
  t.match(await resolve({ key: 'model.gguf', version_id: 'null' }), { isImmutable: false });
});

t.test('the claim is a checksum of the whole object, or the metadata of its writer', async (t) => {
  const full = { 'x-amz-checksum-sha256': hash.toString('base64'), 'x-amz-checksum-type': 'FULL_OBJECT' };
  const checksum = { digest, from: 'checksum' };
  const metadata = { digest, from: 'metadata' };
  const cases: readonly (readonly [Record<string, string>, object | undefined])[] = [
    [full, checksum],
    [{ ...full, 'x-amz-meta-sha256': hash.toString('hex') }, checksum],
    [{ ...full, 'x-amz-checksum-type': 'COMPOSITE' }, undefined],
    [{ ...full, 'x-amz-checksum-sha256': `${hash.toString('base64')}-3` }, undefined],
    [{ 'x-amz-checksum-sha256': hash.toString('base64') }, undefined],
    [{ 'x-amz-meta-sha256': hash.toString('hex').toUpperCase() }, metadata],
    [{ 'x-amz-meta-sha256': `sha256:${hash.toString('hex')}` }, metadata],
    [{ 'x-amz-meta-sha256': hash.toString('base64') }, metadata],
    [{ ...full, 'x-amz-checksum-type': 'COMPOSITE', 'x-amz-meta-sha256': hash.toString('hex') }, metadata],
    [{ 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=', 'x-amz-checksum-type': 'FULL_OBJECT' }, undefined],
  ];
  const server = await S3Server.start(t);
  const { resolve } = s3Source({ settings: server.settings, credentials });
  for (const [headers, claim] of cases) {
    server.put('model.gguf', content, { headers });
    t.strictSame((await resolve({ key: 'model.gguf' })).shards[0]?.claim, claim, JSON.stringify(headers));
  }
  for (const headers of [
    { ...full, 'x-amz-checksum-sha256': 'AAAA' },
    { 'x-amz-meta-sha256': '../../etc/passwd' },
    { ...full, 'x-amz-meta-sha256': 'a'.repeat(64) },
  ]) {
    server.put('model.gguf', content, { headers });
    await t.rejects(resolve({ key: 'model.gguf' }), { code: 'SOURCE_INVALID' }, JSON.stringify(headers));
  }
});

t.test('a prefix is the shards below it, without safetensors files that its index does not list', async (t) => {
  const server = await S3Server.start(t, { 'other/x.gguf': content, llm: content, 'llmx/model.gguf': content });
  const names = [
    ...['part-10.safetensors', 'part-2.safetensors', 'consolidated.safetensors', 'sub/q.gguf', 'sub/r.safetensors'],
    ...['README.md', 'a b+ü.gguf', 'sub/', 'x//LICENSE'],
  ];
  for (const name of names) server.put(`llm/${name}`, content);
  const weightMap = { a: 'part-2.safetensors', b: 'part-10.safetensors' };
  server.put('llm/model.safetensors.index.json', Buffer.from(JSON.stringify({ weight_map: weightMap })));
  server.put('llm/', Buffer.alloc(0));
  server.pageSize = 3;
  const { resolve } = s3Source({ settings: server.settings, credentials });
  const model = await resolve({ key: 'llm/' });
  t.match(model, {
    modelRef: 's3://models/llm/',
    isImmutable: false,
    skipped: ['README.md', 'consolidated.safetensors'],
  });
  t.strictSame(
    model.shards.map(({ path }) => path),
    ['a b+ü.gguf', 'part-2.safetensors', 'part-10.safetensors', 'sub/q.gguf', 'sub/r.safetensors'],
  );
  t.strictSame(
    model.indexes.map(({ path }) => path),
    ['model.safetensors.index.json'],
  );
  t.match(model.shards[0]?.pinned, { key: 'llm/a b+ü.gguf', name: 'ceph' });
  const source = await model.shards[3]?.open({ signal });
  t.ok((await readRange(source as NonNullable<typeof source>, whole, { signal })).equals(content));
});

t.test('an index is the objects that it lists next to it', async (t) => {
  const weightMap = JSON.stringify({ weight_map: { a: 'one.safetensors', b: 'two.safetensors' } });
  const server = await S3Server.start(t, { 'llm/model.safetensors.index.json': Buffer.from(weightMap) });
  for (const name of ['one', 'two', 'consolidated']) server.put(`llm/${name}.safetensors`, content);
  const { resolve } = s3Source({ settings: server.settings, credentials });
  const { shards, indexes } = await resolve({ key: 'llm/model.safetensors.index.json' });
  t.strictSame(
    [...shards, ...indexes].map(({ path }) => path),
    ['one.safetensors', 'two.safetensors', 'model.safetensors.index.json'],
  );
  t.match(shards[0]?.pinned, { key: 'llm/one.safetensors' });
});

t.test('references that name no model are refused before a request, or with the reason', async (t) => {
  const server = await S3Server.start(t, { 'docs/README.md': content, 'odd//x.gguf': content, empty: Buffer.alloc(0) });
  const settings = { ...server.settings, buckets: ['models', 'lab-*'] };
  const { resolve } = s3Source({ settings, credentials });
  const cases: readonly (readonly [Parameters<typeof resolve>[0], { code: string; message?: RegExp }])[] = [
    [
      { key: 'x', bucket: 'private' },
      { code: 'SOURCE_FORBIDDEN', message: /do not allow the bucket/ },
    ],
    [{ key: 'x', bucket: 'lab/x' }, { code: 'SOURCE_FORBIDDEN' }],
    [{ key: 'x', name: 'other' }, { code: 'SOURCE_FORBIDDEN' }],
    [{ key: 'llm/', version_id: 'v1' }, { code: 'INVALID_PARAMS' }],
    [{ key: 'a/../b' }, { code: 'INVALID_PARAMS', message: /segment/ }],
    [{ key: 'a/C:x' }, { code: 'INVALID_PARAMS' }],
  ];
  for (const [reference, error] of cases) await t.rejects(resolve(reference), error, JSON.stringify(reference));
  t.equal(server.requests.length, 0);
  await t.rejects(resolve({ key: 'none/' }), { code: 'SOURCE_NOT_FOUND', message: /prefix/ });
  await t.rejects(resolve({ key: 'docs/' }), { code: 'SOURCE_NOT_FOUND', message: /gguf/ });
  await t.rejects(resolve({ key: 'odd/' }), { code: 'SOURCE_UNSUPPORTED', message: /plain relative path/ });
  await t.rejects(resolve({ key: 'empty' }), { code: 'SOURCE_UNSUPPORTED', message: /empty/ });
});

t.test('errors of S3 have their own words, and repeat nothing of its body', async (t) => {
  const server = await S3Server.start(t, { 'model.gguf': content });
  const cases: readonly (readonly [status: number, code: string, error: string, words: RegExp])[] = [
    [404, 'NoSuchKey', 'SOURCE_NOT_FOUND', /object does not exist/],
    [404, 'NoSuchBucket', 'SOURCE_NOT_FOUND', /bucket does not exist/],
    [403, 'AccessDenied', 'SOURCE_AUTH_FAILED', /denied access/],
    [403, 'RequestTimeTooSkewed', 'SOURCE_AUTH_FAILED', /clock of this host/],
    [403, 'InvalidAccessKeyId', 'SOURCE_AUTH_FAILED', /access_key_id/],
    [403, 'SignatureDoesNotMatch', 'SOURCE_AUTH_FAILED', /secret_access_key/],
    [400, 'ExpiredToken', 'SOURCE_AUTH_FAILED', /session token/],
    [400, 'AuthorizationHeaderMalformed', 'SOURCE_AUTH_FAILED', /another region/],
    [403, 'InvalidObjectState', 'SOURCE_UNSUPPORTED', /archived/],
    [400, 'InvalidRequest', 'SOURCE_UNSUPPORTED', /encrypted/],
    [400, 'InvalidArgument', 'SOURCE_NOT_FOUND', /version/],
    [405, 'MethodNotAllowed', 'SOURCE_NOT_FOUND', /delete marker/],
    [400, 'SomethingNew', 'SOURCE_INVALID', /status 400/],
  ];
  const { open } = s3Source({ settings: server.settings, credentials });
  for (const [status, code, error, words] of cases) {
    server.intercept = (_, response) => {
      fail(response, status, code);
      return true;
    };
    await t.rejects(open({ key: 'model.gguf' }), { code: error, message: words }, code);
    const shown = await open({ key: 'model.gguf' }).catch((error: Error) => error);
    t.notMatch(inspect(shown), /hostile/, code);
  }
});

t.test('a bucket in another region is named as such, and no redirect is followed', async (t) => {
  const server = await S3Server.start(t, { 'model.gguf': content });
  const { open } = s3Source({ settings: server.settings, credentials });
  for (const [status, headers] of [
    [301, { 'x-amz-bucket-region': 'lab-2' }],
    [301, {}],
    [301, { 'x-amz-bucket-region': 'lab-2', Location: '/models/other.gguf' }],
    [400, { 'x-amz-bucket-region': 'lab-2' }],
  ] as const) {
    server.intercept = (_, response) => {
      fail(response, status, 'PermanentRedirect', headers);
      return true;
    };
    await t.rejects(open({ key: 'model.gguf' }), { code: 'SOURCE_AUTH_FAILED', message: /another region/ });
  }
});

t.test('SlowDown is retried, also in the middle of an object', async (t) => {
  const server = await S3Server.start(t, { 'model.gguf': content });
  const { open } = s3Source({ settings: server.settings, credentials });
  let failures = 0;
  server.intercept = ({ method }, response) => {
    if (method !== 'GET' || failures >= 2) return false;
    failures += 1;
    fail(response, failures === 1 ? 503 : 400, failures === 1 ? 'SlowDown' : 'RequestTimeout');
    return true;
  };
  const source = await open({ key: 'model.gguf' });
  t.ok((await readRange(source, whole, { signal })).equals(content));
  t.equal(failures, 2);
});

t.test('an object is read from a server that refuses HEAD', async (t) => {
  const server = await S3Server.start(t, { 'model.gguf': content });
  server.intercept = ({ method }, response) => {
    if (method !== 'HEAD') return false;
    fail(response, 405, 'MethodNotAllowed');
    return true;
  };
  const source = await s3Source({ settings: server.settings, credentials }).open({ key: 'model.gguf' });
  t.ok((await readRange(source, whole, { signal })).equals(content));
});
