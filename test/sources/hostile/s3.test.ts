import t, { type Test } from 'tap';
import { Secret } from '../../../src/sources/egress/secret.js';
import { readRange } from '../../../src/sources/read_range.js';
import { patternBytes } from '../../support/bytes.js';
import { anySignal } from '../../support/http_sources.js';
import { rawServer, responseHead, servePartial } from '../../support/raw_source.js';
import { credentials, S3Server, xml } from '../../support/s3_server.js';
import { s3Source } from '../../support/s3_sources.js';

const content = patternBytes(400_000);
const signal = anySignal();
const listHead = `${xml}<ListBucketResult>`;

async function start(t: Test) {
  const server = await S3Server.start(t, { 'model.gguf': content });
  return { server, ...s3Source({ settings: server.settings, credentials }) };
}

/** Answers every list with a text, and each page after the first with the next one. */
async function listing(t: Test, pages: readonly (string | Buffer)[]) {
  const started = await start(t);
  let page = 0;
  started.server.intercept = ({ query }, response) => {
    if (!query.has('list-type')) return false;
    response.end(pages[Math.min(page, pages.length - 1)]);
    page += 1;
    return true;
  };
  return { ...started, list: () => started.resolve({ key: 'llm/' }) };
}

t.test('another host sees neither the signature nor the session token, on a redirect of any request', async (t) => {
  const thief = await rawServer(t, (socket, request) => servePartial(socket, content, request), '127.0.0.2');
  const server = await S3Server.start(t, { 'model.gguf': content });
  const settings = {
    ...server.settings,
    addresses: ['127.0.0.0/8'],
    redirect_hosts: [`127.0.0.2:${thief.port}`],
  };
  const session = { ...credentials, sessionToken: new Secret('session-secret') };
  const { open, resolve } = s3Source({ settings, credentials: session });
  for (const status of [301, 302, 303, 307, 308]) {
    server.intercept = ({ target }, response) => {
      response.writeHead(status, { Location: `${thief.origin}${target}` }).end();
      return true;
    };
    await open({ key: 'model.gguf' });
    await t.rejects(resolve({ key: 'llm/' }), { code: 'SOURCE_INVALID' });
  }
  t.ok(server.requests.every(({ headers }) => headers.get('x-amz-security-token') === 'session-secret'));
  t.ok(thief.requests.length >= 10);
  for (const { headers } of thief.requests) {
    t.strictSame(
      [...headers.keys()].filter((name) => /authorization|x-amz-(?:security|date|content)/.test(name)),
      [],
    );
    t.notMatch([...headers.values()].join(), /session-secret|AWS4/);
  }
});

t.test('a redirect of the endpoint cannot leave the bucket', async (t) => {
  const { server, open } = await start(t);
  server.intercept = ({ key }, response) => {
    if (key !== 'model.gguf') return false;
    response.writeHead(302, { Location: '/private/model.gguf' }).end();
    return true;
  };
  await t.rejects(open({ key: 'model.gguf' }), { code: 'SOURCE_FORBIDDEN' });
  t.ok(server.requests.every(({ key }) => key === 'model.gguf'));
});

t.test('an object that is replaced in the middle of a transfer is SOURCE_CHANGED', async (t) => {
  const { server, open } = await start(t);
  const source = await open({ key: 'model.gguf' });
  let hasCut = false;
  server.intercept = ({ method }, response) => {
    if (method !== 'GET' || hasCut) return false;
    hasCut = true;
    const headers = { 'Content-Range': `bytes 0-399999/400000`, 'Content-Length': 400_000, ETag: source.etag };
    response.writeHead(206, headers as Record<string, string | number>);
    response.write(content.subarray(0, 300_000), () => response.destroy());
    server.put('model.gguf', patternBytes(400_000, 9));
    return true;
  };
  await t.rejects(readRange(source, { offset: 0, length: 400_000 }, { signal }), {
    code: 'SOURCE_CHANGED',
    message: /replaced/,
  });
  t.equal(server.requests.filter(({ method }) => method === 'GET').length, 2);
});

t.test('a server that ignores If-Match and versionId, as s3rver does, cannot mix two objects', async (t) => {
  const { server, open } = await start(t);
  for (const version of [undefined, 'v1']) {
    server.put('model.gguf', content, version === undefined ? {} : { version });
    server.signs = false;
    server.intercept = (request) => {
      (request.headers as Map<string, string>).delete('if-match');
      request.query.delete('versionId');
      return false;
    };
    const source = await open({ key: 'model.gguf' });
    if (version === undefined) server.put('model.gguf', patternBytes(400_000, 9));
    else server.put('model.gguf', content, { version: 'v2' });
    await t.rejects(readRange(source, { offset: 5, length: 1000 }, { signal }), { code: 'SOURCE_CHANGED' });
  }
});

t.test('an object without a strong entity tag is refused', async (t) => {
  const { server, open } = await start(t);
  for (const etag of ['W/"v1"', 'v1', '"\u00e9"']) {
    server.put('model.gguf', content, { etag });
    await t.rejects(open({ key: 'model.gguf' }), { code: 'SOURCE_INVALID', message: /entity tag/ }, etag);
  }
});

t.test('a document with a type, entities or another form is no list', async (t) => {
  const entities = Array.from({ length: 20 }, (_, at) => `<!ENTITY e${at + 1} "${`&e${at};`.repeat(10)}">`).join('');
  const bodies: readonly (readonly [title: string, body: string | Buffer])[] = [
    [
      'billion laughs',
      `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">${entities}]><ListBucketResult>&e20;</ListBucketResult>`,
    ],
    [
      'external entity',
      '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ListBucketResult>&e;</ListBucketResult>',
    ],
    ['external DTD', '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><ListBucketResult/>'],
    ['unknown entity', `${listHead}<IsTruncated>&evil;</IsTruncated></ListBucketResult>`],
    ['deep', `${xml}${'<a>'.repeat(100_000)}`],
    ['many elements', `${listHead}${'<a/>'.repeat(100_000)}</ListBucketResult>`],
    ['unclosed', `${listHead}<IsTruncated>false</IsTruncated>`],
    ['two roots', `${xml}<a/><b/>`],
    ['latin-1', Buffer.from(`${listHead}<a>\u00e9</a></ListBucketResult>`, 'latin1')],
    ['html', '<!DOCTYPE html><html></html>'],
    ['json', '{"IsTruncated": false}'],
    ['empty', ''],
    ['an error', `${xml}<Error><Code>NoSuchKey</Code></Error>`],
    ['no end of the list', `${listHead}</ListBucketResult>`],
    [
      'the first version of lists',
      `${listHead}<IsTruncated>true</IsTruncated><NextMarker>a</NextMarker></ListBucketResult>`,
    ],
    [
      'another prefix',
      `${listHead}<IsTruncated>false</IsTruncated><Contents><Key>x</Key></Contents></ListBucketResult>`,
    ],
    [
      'a key twice',
      `${listHead}<IsTruncated>false</IsTruncated>${'<Contents><Key>llm/x</Key></Contents>'.repeat(2)}</ListBucketResult>`,
    ],
    [
      'a wrong encoding',
      `${listHead}<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>llm/%zz</Key></Contents></ListBucketResult>`,
    ],
  ];
  for (const [title, body] of bodies) {
    const { list } = await listing(t, [body]);
    await t.rejects(list(), { code: 'SOURCE_INVALID' }, title);
  }
});

t.test('a list without an end is ended: by a repeated token, the pages, the keys or the bytes', async (t) => {
  const page = (keys: string, token: string) =>
    `${listHead}<IsTruncated>true</IsTruncated>${keys}<NextContinuationToken>${token}</NextContinuationToken></ListBucketResult>`;
  const key = (name: string) => `<Contents><Key>llm/${name}</Key></Contents>`;
  const repeated = await listing(t, [page(key('a'), 'same'), page(key('b'), 'same')]);
  await t.rejects(repeated.list(), { code: 'SOURCE_INVALID', message: /repeated a page/ });
  t.equal(repeated.server.requests.length, 2);

  const empty = await listing(
    t,
    Array.from({ length: 200 }, (_, at) => page('', `token ${at}`)),
  );
  await t.rejects(empty.list(), { code: 'SOURCE_UNSUPPORTED', message: /more than 100 pages/ });
  t.equal(empty.server.requests.length, 100);

  const keysOf = (at: number) => Array.from({ length: 1000 }, (_, index) => key(`${at}-${index}`)).join('');
  const many = await listing(
    t,
    Array.from({ length: 20 }, (_, at) => page(keysOf(at), `token ${at}`)),
  );
  await t.rejects(many.list(), { code: 'SOURCE_UNSUPPORTED', message: /more than 10000 objects/ });
  t.equal(many.server.requests.length, 11);

  const long = await listing(t, [`${listHead}<a>${'x'.repeat(9 * 1024 * 1024)}</a>`]);
  await t.rejects(long.list(), { code: 'SOURCE_INVALID', message: /more than 8388608 bytes/ });
});

t.test('a list that takes long to parse does not block other work', async (t) => {
  const keys = Array.from({ length: 9000 }, (_, at) => `<Contents><Key>llm/${at}${'x'.repeat(700)}</Key></Contents>`);
  const { list } = await listing(t, [`${listHead}<IsTruncated>false</IsTruncated>${keys.join('')}</ListBucketResult>`]);
  let turns = 0;
  const count = setInterval(() => {
    turns += 1;
  });
  t.teardown(() => clearInterval(count));
  await t.rejects(list(), { code: 'SOURCE_NOT_FOUND' });
  t.ok(turns >= 5, `${turns} turns of the event loop`);
});

t.test('names of keys never leave the prefix or become other names', async (t) => {
  const end = '</ListBucketResult>';
  for (const name of ['../x.gguf', '/x.gguf', 'a/./x.gguf', 'a\\x.gguf', 'C:x.gguf', 'a%2Fx\u202e/../x.gguf']) {
    const key = `<Contents><Key>llm/${name}</Key></Contents>`;
    const { list, server } = await listing(t, [`${listHead}<IsTruncated>false</IsTruncated>${key}${end}`]);
    await t.rejects(list(), { code: 'SOURCE_UNSUPPORTED' }, name);
    t.equal(server.requests.length, 1);
  }
});

t.test('an error whose body is endless, compressed or not XML is judged by its status', async (t) => {
  const bodies: readonly (readonly [title: string, headers: Record<string, string>, body: string])[] = [
    ['long', {}, `<Error><Message>${'x'.repeat(100_000)}</Message><Code>NoSuchKey</Code></Error>`],
    ['gzip', { 'Content-Encoding': 'gzip' }, '<Error><Code>NoSuchKey</Code></Error>'],
    ['html', {}, '<html><p>denied'],
    ['DTD', {}, '<!DOCTYPE x><Error><Code>NoSuchKey</Code></Error>'],
    ['cut', { 'Content-Length': '1000' }, '<Error><Code>NoSuchKey</Code></Error>'],
  ];
  for (const [title, headers, body] of bodies) {
    const server = await rawServer(t, (socket) => socket.end(responseHead('403 Forbidden', headers) + body));
    const common = { name: 'ceph', type: 's3', endpoint: server.origin, region: 'lab-1' } as const;
    const { open } = s3Source({ settings: { ...common, path_style: true, addresses: ['127.0.0.1'] }, credentials });
    await t.rejects(open({ key: 'model.gguf' }), { code: 'SOURCE_AUTH_FAILED', message: /status 403/ }, title);
  }
});
