import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { root } from '../../support/paths.js';
import { startWorker } from '../../support/worker.js';

const { app, url: origin } = await startWorker(t, { start: false, listen: true });

const files = [
  ['/ui/', 'index.html', 'text/html; charset=utf-8'],
  ['/ui/page.css', 'page.css', 'text/css; charset=utf-8'],
  ['/ui/page.js', 'page.js', 'text/javascript; charset=utf-8'],
] as const;

t.test('the page is three files, which need no token and cannot be embedded or extended', async (t) => {
  for (const [url, name, type] of files) {
    const { statusCode, headers, body } = await app.inject({ url });
    t.equal(statusCode, 200, url);
    t.equal(body, readFileSync(join(root, 'ui', name), 'utf8'));
    t.match(headers, { 'content-type': type, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' });
    t.match(headers, { 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer', 'set-cookie': undefined });
    t.same(String(headers['content-security-policy']).split('; ').sort(), [
      "base-uri 'none'",
      "connect-src 'self'",
      "default-src 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      'img-src data:',
      "require-trusted-types-for 'script'",
      "script-src 'self'",
      "style-src 'self'",
      "trusted-types 'none'",
    ]);
  }
});

t.test('a browser that has a file gets 304, with the same headers and without a body', async (t) => {
  const tags = new Set<string>();
  for (const [url] of files) {
    const { etag, 'content-security-policy': policy } = (await app.inject({ url })).headers;
    tags.add(String(etag));
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const response = await app.inject({ url, headers: { 'if-none-match': known } });
      t.equal(response.statusCode, 304, `${url} ${known}`);
      t.equal(response.body, '');
      t.match(response.headers, { etag, 'content-security-policy': policy, 'content-type': undefined });
    }
    t.equal((await app.inject({ url, headers: { 'if-none-match': '"other"' } })).statusCode, 200);
  }
  t.equal(tags.size, files.length, 'each file has its own tag');
});

t.test('HEAD is GET without the body', async (t) => {
  for (const [url] of files) {
    const [get, head] = [await app.inject({ url }), await app.inject({ method: 'HEAD', url })];
    t.equal(head.statusCode, 200);
    t.equal(head.body, '');
    for (const name of ['content-length', 'content-type', 'etag', 'content-security-policy'])
      t.equal(head.headers[name], get.headers[name], `${url} ${name}`);
  }
});

t.test('/ and /ui redirect to the page, relative to the path that a proxy shows', async (t) => {
  for (const url of ['/', '/ui']) {
    const { statusCode, headers } = await app.inject({ url });
    t.equal(statusCode, 302);
    t.equal(headers.location, 'ui/');
    t.equal(new URL(String(headers.location), `http://proxy/a/b${url}`).pathname, '/a/b/ui/');
  }
});

t.test('no other path leads to a file', async (t) => {
  const statusOf = (path: string) =>
    new Promise((resolve, reject) => {
      const sent = request(origin, { path }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on('error', reject).end();
    });
  const paths = [
    '/ui/../',
    '/ui/..',
    '/ui/../package.json',
    '/ui/%2e%2e/package.json',
    '/ui//page.js',
    '/ui/index.html',
  ];
  for (const path of [...paths, '/ui/..%2fpackage.json', '/UI/', '/ui/page.js/', '/ui/nothing'])
    t.equal(await statusOf(path), 404, path);
  t.equal((await fetch(`${origin}/ui/`, { method: 'POST' })).status, 404);
});
