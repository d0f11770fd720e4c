import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import type { Retry } from '../../../src/sources/egress/request.js';
import { anySignal, lookupOf } from '../../support/http_sources.js';
import type { HubFaults } from '../../support/hub/faults.js';
import { git, HubRepository, lfs, sha1, sha256, xetHashOf } from '../../support/hub/repository.js';
import { cdnHost, hubHost, startHub } from '../../support/hub/server.js';
import { contentOf, hubSource, type SourceOptions } from '../../support/hub/source.js';
import { ManualClock } from '../../support/manual_clock.js';
import { rawServer } from '../../support/raw_source.js';

// Hubs, mirrors and CDNs that lie, expire or redirect elsewhere.

const token = 'hf_a-very-secret-token';
const weights = lfs('model-00001-of-00002.gguf', Buffer.alloc(1_500_000, 'weights '));
const rest = lfs('model-00002-of-00002.gguf', 'the rest');
const index = git('model.safetensors.index.json', '{"weight_map":{}}');
const files = [git('README.md', '# card'), weights, rest, index];

async function start(t: Test, options: SourceOptions = {}) {
  const hub = await startHub(t, { pageSize: 2 });
  const repository = new HubRepository('org/name');
  const commit = repository.commit(files);
  hub.add(repository);
  const source = hubSource(hub, { token, ...options });
  const resolve = (revision = 'main') => source.resolve({ repo: 'org/name', revision });
  return { hub, repository, commit, resolve };
}

/** A host that must never see a connection, and its name for the look-up. */
async function canary(t: Test) {
  const thief = await rawServer(t, () => undefined);
  const names = { [hubHost]: ['127.0.0.1'], [cdnHost]: ['127.0.0.1'], 'evil.test': ['127.0.0.1'] };
  return { thief, origin: `https://evil.test:${thief.port}`, environment: { lookup: lookupOf(names) } };
}

t.test('the CDN never sees the token, also after expired URLs and retries', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  hub.faults.cutBytes = 400_000;
  hub.faults.expires = true;
  t.ok((await contentOf(shards[0])).equals(weights.content));
  const [own, cdn] = ['hub', 'cdn'].map((name) => hub.requests.filter(({ host }) => host === name));
  t.ok(own?.every(({ authorization }) => authorization === `Bearer ${token}`));
  t.ok((cdn?.length ?? 0) >= 4 && cdn?.every(({ authorization }) => authorization === undefined));
});

t.test('a signed URL that expires in the middle of a file is resolved again at the offset', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  hub.faults.cutBytes = 600_000;
  hub.faults.expires = true;
  const retries: Retry[] = [];
  t.ok((await contentOf(shards[0], { onRetry: (retry) => retries.push(retry) })).equals(weights.content));
  const ranges = hub.requests.filter(({ host }) => host === 'cdn').map(({ range }) => range);
  t.strictSame(ranges[0], `bytes=0-${weights.content.length - 1}`);
  t.ok(ranges.every((range) => range?.endsWith(`-${weights.content.length - 1}`)));
  const offsets = ranges.map((range) => Number(range?.split(/[=-]/)[1]));
  t.strictSame(
    offsets,
    [...offsets].sort((a, b) => a - b),
    'no byte is read twice from the start',
  );
  t.ok(retries.length >= 2);
});

t.test('a signed URL that has expired before its first use is replaced', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  let refusals = 2;
  hub.faults.beforeCdn = () => {
    refusals -= 1;
    hub.expireAll(refusals >= 0);
  };
  t.ok((await contentOf(shards[0])).equals(weights.content));
  t.equal(hub.requests.filter(({ host }) => host === 'cdn').length, 3);
});

t.test('after an expired URL, the hub must state the same commit, digest and size', async (t) => {
  const cases: readonly (readonly [HubFaults['answer'], string])[] = [
    [{ 'X-Repo-Commit': sha1('another') }, 'SOURCE_CHANGED'],
    [{ 'X-Linked-ETag': `"${sha256('another')}"` }, 'SOURCE_CHANGED'],
    [{ 'X-Linked-ETag': `"${xetHashOf(weights)}"` }, 'SOURCE_CHANGED'],
    [{ 'X-Linked-Size': '1500001' }, 'SOURCE_CHANGED'],
    [{ 'X-Linked-Size': '1.5e6' }, 'SOURCE_CHANGED'],
    [{ 'X-Repo-Commit': undefined }, 'SOURCE_INVALID'],
    [{ 'X-Linked-ETag': undefined }, 'SOURCE_INVALID'],
    [{ 'X-Linked-ETag': undefined, ETag: `"${sha256(weights.content)}"` }, 'SOURCE_INVALID'],
    [{ 'X-Linked-Size': undefined }, 'SOURCE_INVALID'],
  ];
  for (const [answer, code] of cases) {
    const { hub, resolve } = await start(t);
    const { shards } = await resolve();
    hub.faults.cutBytes = 500_000;
    hub.faults.expires = true;
    hub.faults.beforeCdn = () => {
      hub.faults.answer = answer;
    };
    await t.rejects(contentOf(shards[0]), { code }, JSON.stringify(answer));
    t.equal(hub.requests.filter(({ host }) => host === 'cdn').length, 1, 'nothing is read after the lie');
  }
});

t.test('headers of the CDN say nothing about the version of a file', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  hub.faults.cdnHeaders = {
    'X-Repo-Commit': sha1('x'),
    'X-Linked-ETag': `"${sha256('x')}"`,
    'X-Error-Code': 'RepoNotFound',
    ETag: `"${sha256('x')}"`,
  };
  t.match(shards[0]?.claim, { digest: `sha256:${sha256(weights.content)}`, from: 'lfs' });
  t.ok((await contentOf(shards[0])).equals(weights.content));
});

t.test('a CDN that sends another length is refused', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  for (const change of [(bytes: Buffer) => bytes.subarray(1), (bytes: Buffer) => Buffer.concat([bytes, bytes])]) {
    hub.faults.content = change;
    await t.rejects(contentOf(shards[0]), { code: /SOURCE_(CHANGED|INVALID)/ });
  }
});

t.test(
  'links to a foreign host get no connection: pages, renamed repositories, files in Git, signed URLs',
  async (t) => {
    const { thief, origin, environment } = await canary(t);
    const { hub, resolve } = await start(t, { environment });
    const { shards, indexes } = await resolve();
    hub.faults.linkOrigin = origin;
    await t.rejects(resolve(), { code: 'SOURCE_FORBIDDEN', message: /next page/ });
    await t.rejects(contentOf(indexes[0]), { code: 'SOURCE_FORBIDDEN' });
    hub.faults.linkOrigin = undefined;
    for (const target of [
      `${origin}/api/models/org/name/revision/main`,
      '//evil.test/x',
      'http://hub.test/x',
      `${hub.cdn}x/`,
    ]) {
      hub.faults.redirect = () => target;
      await t.rejects(resolve(), { code: /SOURCE_(FORBIDDEN|INVALID)/ }, target);
      await t.rejects(contentOf(shards[0]), { code: /SOURCE_(FORBIDDEN|INVALID)/ }, target);
    }
    t.equal(thief.connections, 0);
    t.equal(hub.requests.filter(({ host }) => host === 'cdn').length, 0);
  },
);

t.test('a link that only looks like the original host is not rewritten', async (t) => {
  for (const host of [
    'http://huggingface.co',
    'https://huggingface.co:444',
    'https://huggingface.co.evil.test',
    'https://hf.co',
  ]) {
    const { hub, resolve } = await start(t);
    hub.faults.linkOrigin = host;
    await t.rejects(resolve(), { code: 'SOURCE_FORBIDDEN' }, host);
  }
});

t.test('a mirror that sends the worker to the original host for everything ends after five redirects', async (t) => {
  const { hub, resolve } = await start(t);
  hub.faults.redirect = (target) => `https://huggingface.co${target}`;
  await t.rejects(resolve(), { code: 'SOURCE_INVALID', message: /more than 5 times/ });
  t.equal(hub.requests.length, 6);
});

t.test('a renamed repository cannot lead out of the allowed ones, in the middle of a model either', async (t) => {
  const { hub, repository, resolve } = await start(t, { settings: { repos: ['org/*'] } });
  const secret = new HubRepository('secret/name');
  secret.commit(files);
  hub.add(secret);
  const { shards } = await resolve();
  t.ok(repository.find('main'));
  hub.rename('org/name', 'secret/name');
  await t.rejects(contentOf(shards[0]), { code: 'SOURCE_FORBIDDEN', message: /renamed to secret\/name/ });
  await t.rejects(resolve(), { code: 'SOURCE_FORBIDDEN', message: /renamed to secret\/name/ });
  t.ok(
    hub.requests.every(({ target }) => !target.includes('secret')),
    'the new name is not asked for',
  );
});

t.test('the next page belongs to the same list, and there are at most 100', async (t) => {
  const { hub, commit, resolve } = await start(t);
  for (const next of [
    `/api/models/org/other/tree/${commit.sha}?cursor=2`,
    `/api/models/org/name/tree/${sha1('x')}?cursor=2`,
    '/org/name/resolve/main/page.json',
  ]) {
    hub.faults.nextPage = `${hub.endpoint}${next}`;
    await t.rejects(resolve(), { code: /SOURCE_(INVALID|FORBIDDEN)/ }, next);
  }
  hub.requests.length = 0;
  hub.faults.nextPage = `${hub.endpoint}/api/models/org/name/tree/${commit.sha}?recursive=true&cursor=9`;
  await t.rejects(resolve(), { code: 'SOURCE_INVALID', message: /100 pages/ });
  t.equal(hub.requests.length, 101);
});

t.test('a list that was cut is refused: its JSON, or its last pages', async (t) => {
  const { hub, resolve } = await start(t);
  hub.faults.cutsPages = true;
  await t.rejects(resolve(), { code: 'SOURCE_INVALID' });
  hub.faults.cutsPages = false;
  hub.faults.hidesPages = true;
  await t.rejects(resolve(), { code: 'SOURCE_INVALID', message: /lacks weights/ });
});

t.test('entries of a list that contradict themselves are refused', async (t) => {
  const entry = {
    type: 'file',
    path: 'x.gguf',
    size: 4,
    oid: sha1('x'),
    lfs: { oid: sha256('x'), size: 4, pointerSize: 3 },
  };
  for (const change of [
    { path: weights.path },
    { path: '../x.gguf' },
    { path: '/etc/x.gguf' },
    { path: 'a/../../x.gguf' },
    { path: 'a//x.gguf' },
    { path: './x.gguf' },
    { path: '' },
    { type: 'directory', path: '..' },
    { size: 5 },
    { size: -1 },
    { size: 2 ** 53 },
    { size: '4' },
    { size: undefined },
    { oid: undefined },
    { oid: '../../x' },
    { lfs: { oid: 'x', size: 4 } },
    { lfs: { oid: `${sha256('x')}/..`, size: 4 } },
    { lfs: { oid: sha256('x').toUpperCase(), size: 4 } },
    { lfs: {} },
  ]) {
    const { hub, resolve } = await start(t);
    hub.faults.entries = [{ ...entry, ...change }];
    await t.rejects(resolve(), { code: 'SOURCE_INVALID' }, JSON.stringify(change));
  }
});

t.test('names that systems read differently are neither files nor skipped', async (t) => {
  const { hub, resolve } = await start(t);
  hub.faults.entries = ['a\\b.gguf', 'C:x.gguf', 'a\nb.gguf', '\u001b[2Jx.gguf'].map((path) => ({
    type: 'file',
    path,
    size: 1,
    oid: sha1('x'),
    lfs: { oid: sha256('x'), size: 1 },
  }));
  const { shards, skipped } = await resolve();
  t.strictSame([shards.length, skipped], [2, ['README.md']]);
});

t.test('lists beyond the bounds are refused', async (t) => {
  const { hub, resolve } = await start(t);
  const entries = (count: number, length: number) =>
    Array.from({ length: count }, (_, at) => ({
      type: 'file',
      path: `${at}${'x'.repeat(length)}`,
      size: 1,
      oid: sha1('x'),
    }));
  hub.faults.entries = entries(3000, 900);
  await t.rejects(resolve(), { code: 'SOURCE_INVALID', message: /more than 2097152 bytes/ });
  hub.faults.entries = entries(20_000, 1);
  await t.rejects(resolve(), { code: 'SOURCE_UNSUPPORTED', message: /more than 20000 files/ });
});

t.test('a branch that has the name of another commit is refused', async (t) => {
  const { repository, resolve } = await start(t);
  const name = sha1('a commit that does not exist');
  repository.commit(files, name);
  await t.rejects(resolve(name), { code: 'SOURCE_CHANGED' });
});

t.test('a rate limit is waited for, one second longer than the hub says', async (t) => {
  const clock = new ManualClock();
  const { hub, resolve } = await start(t, { environment: { clock } });
  const retries: Retry[] = [];
  const onRetry = (retry: Retry) => {
    retries.push(retry);
    setImmediate(() => clock.advance(retry.waitMs));
  };
  const { shards } = await resolve();
  const limit = () => ({ status: 429, headers: { RateLimit: '"resolvers";r=0;t=55' }, times: 2 });
  hub.faults.resolve = limit();
  t.ok((await contentOf(shards[0], { onRetry })).equals(weights.content));
  t.strictSame(
    retries.map(({ waitMs }) => waitMs),
    [56_000, 56_000],
  );
  hub.faults.resolve = { ...limit(), code: 'GatedRepo' };
  t.ok((await contentOf(shards[0], { onRetry })).equals(weights.content), 'a code does not make it final');
});

t.test('a wait that ends after the deadline fails at once', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  hub.faults.resolve = { status: 429, headers: { RateLimit: '"resolvers";r=0;t=55' } };
  await t.rejects(contentOf(shards[0], { timeoutMs: 30_000 }), { code: 'SOURCE_UNAVAILABLE', retryAfterMs: 56_000 });
});

t.test('access that ends in the middle of a file is final, and the reason is that of the hub', async (t) => {
  for (const [refusal, code, message] of [
    [{ status: 403, code: 'GatedRepo' }, 'SOURCE_AUTH_FAILED', /gated/],
    [{ status: 401 }, 'SOURCE_AUTH_FAILED', /private, gated or missing/],
    [{ status: 404, code: 'RepoNotFound' }, 'SOURCE_NOT_FOUND', /org\/name/],
    [{ status: 404, code: 'EntryNotFound' }, 'SOURCE_NOT_FOUND', /model-00001/],
  ] as const) {
    const { hub, resolve } = await start(t);
    const { shards } = await resolve();
    hub.faults.cutBytes = 500_000;
    hub.faults.beforeCdn = () => {
      hub.faults.resolve = refusal;
    };
    await t.rejects(contentOf(shards[0]), { code, message });
    t.equal(hub.requests.filter(({ target }) => target.includes('/resolve/')).length, 2);
  }
});

t.test('an index with other bytes is read once more, and then refused', async (t) => {
  const { hub, resolve } = await start(t);
  const { indexes } = await resolve();
  let lies = 1;
  hub.faults.content = (content) => {
    lies -= 1;
    return lies >= 0 ? Buffer.alloc(content.length, ' ') : content;
  };
  t.ok((await contentOf(indexes[0])).equals(index.content));
  lies = 9;
  await t.rejects(contentOf(indexes[0]), { code: 'SOURCE_INVALID', message: /do not have the digest/ });
  t.equal(lies, 7);
});

t.test('descriptions of a revision that name no commit are refused', async (t) => {
  const server = await startHub(t);
  const source = hubSource(server);
  for (const sha of ['', 'main', '../x', sha1('x').toUpperCase(), `${sha1('x')}0`]) {
    const repository = new HubRepository('org/name');
    Object.defineProperty(repository, 'find', { value: () => ({ sha, files }) });
    server.add(repository);
    await t.rejects(source.resolve({ repo: 'org/name' }), { code: 'SOURCE_INVALID' }, sha);
  }
});

t.test('an error repeats neither the token nor the body or the signed URL', async (t) => {
  for (const status of [400, 401, 403, 404, 418]) {
    const { hub, resolve } = await start(t);
    const { shards } = await resolve();
    hub.faults.resolve = { status, message: 'said by the hub' };
    const refused = await contentOf(shards[0]).catch((error: unknown) => error);
    hub.faults.resolve = undefined;
    hub.faults.content = (content) => content.subarray(1);
    const changed = await contentOf(shards[0]).catch((error: unknown) => error);
    for (const error of [refused, changed]) {
      t.ok(error instanceof Error);
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), /said by the hub|hf_a-very|X-Amz/, `${status}`);
    }
  }
});

t.test('a client that leaves ends the resolution and the transfer', async (t) => {
  const { hub, resolve } = await start(t);
  const { shards } = await resolve();
  const controller = new AbortController();
  hub.faults.beforeCdn = () => controller.abort(new Error('the client left'));
  await t.rejects(contentOf(shards[0], { signal: controller.signal }), { message: 'the client left' });
  const source = hubSource(hub);
  const aborted = AbortSignal.abort(new Error('gone'));
  await t.rejects(source.resolve({ repo: 'org/name' }, { signal: aborted }), { message: 'gone' });
  await t.rejects(source.resolve({ repo: 'org/name' }, { signal: anySignal(), timeoutMs: 0 }), {
    code: 'SOURCE_TIMEOUT',
  });
});
