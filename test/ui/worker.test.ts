import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { unlessChromium } from '../support/chromium.js';
import { freePort } from '../support/free_port.js';
import { unlessInstalled } from '../support/installed.js';
import { startNginx } from '../support/nginx.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { startWorker, type TestWorker, token } from '../support/worker.js';
import { openPage } from './page_under_test.js';

const markup = '<img src=x onerror=canary(1)>';

const commit = ({ inject }: TestWorker, shardId: string, modelRef: string) =>
  inject({
    method: 'PUT',
    url: '/v1/commit',
    query: { shard_id: shardId, model_ref: modelRef },
    headers: { 'content-type': 'application/octet-stream' },
    payload: Buffer.alloc(5000, shardId),
  });

/** Looks at a worker through the page at a URL, and leads everything that the page does through this URL. */
async function lookThrough(t: Test, worker: TestWorker, base: string): Promise<void> {
  const { page, signIn, complaints, urls } = await openPage(t, base);
  t.equal(page.url(), `${base}ui/`, 'the redirect keeps the prefix');
  await page.evaluate(() => {
    globalThis.canary = () => globalThis.refusedByPolicy.push('canary');
  });
  await signIn(token);
  await page.waitForSelector('#shards tr');
  t.match(await page.textContent('#shards'), `one${markup}`);
  t.match(await page.title(), 'Ready · worker-1');
  await page.waitForSelector('#audit-view:not([hidden])');
  t.match(await page.textContent('#audit'), 'VramSealed');
  t.equal((await commit(worker, `two-${page.url().length}`, markup.repeat(17))).statusCode, 201);
  await page.waitForFunction(
    (id) => document.getElementById('shards')?.textContent?.includes(id),
    `two-${page.url().length}`,
  );
  t.equal(await page.locator('img').count(), 0);
  t.same(await page.evaluate(() => globalThis.refusedByPolicy), []);
  t.same(complaints, []);
  t.same(
    urls.filter((url) => !url.startsWith(base) && !url.startsWith('data:')),
    [],
    'every request is below the prefix',
  );
  t.same(await page.evaluate(() => Object.keys(sessionStorage)), [
    `vram-residency token ${new URL(page.url()).pathname}`,
  ]);
}

t.test('direct, and behind two prefixes of nginx, the page shows a worker as it changes', unlessChromium, async (t) => {
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { listen: true, env: { WORKER_AUDIT_LOG: auditLog } });
  t.equal((await commit(worker, 'one', markup)).statusCode, 201);
  await lookThrough(t, worker, `${worker.url}/`);
  t.test('behind nginx', unlessInstalled('nginx'), async (t) => {
    const locations = ['/a/b/', '/gpu-17/'].map((prefix) => `location ${prefix} { proxy_pass ${worker.url}/; }`);
    const nginx = await startNginx(t, locations.join('\n'));
    await lookThrough(t, worker, `${nginx}/a/b/`);
    await lookThrough(t, worker, `${nginx}/gpu-17/`);
  });
});

t.test('the read-only token shows all but the audit log', unlessChromium, async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'read-token');
  const readToken = 'read-token-0123456789abcdef0123456789';
  writeFileSync(file, readToken, { mode: 0o600 });
  const env = { WORKER_READ_TOKEN_FILE: file, WORKER_AUDIT_LOG: join(directory, 'audit.log') };
  const worker = await startWorker(t, { listen: true, env });
  t.equal((await commit(worker, 'one', 'model')).statusCode, 201);
  const { page, signIn, complaints } = await openPage(t, `${worker.url}/ui/`);
  await signIn('wrong-token-0123456789abcdef0123456789');
  await page.waitForFunction(
    () => document.getElementById('token-problem')?.textContent === 'The worker refused this token.',
  );
  await signIn(readToken);
  await page.waitForSelector('#shards tr');
  await page.waitForFunction(() => document.getElementById('audit-note')?.textContent?.includes('needs the API token'));
  t.match(await page.textContent('#leases-note'), 'No process has attached a shard.');
  t.same(complaints, []);
});

t.test('a worker that restarts: the page says so, and then shows the new process', unlessChromium, async (t) => {
  const port = await freePort();
  const first = await startWorker(t);
  await first.app.listen({ host: '127.0.0.1', port });
  t.equal((await commit(first, 'before', 'model')).statusCode, 201);
  const { page, signIn, complaints } = await openPage(t, `http://127.0.0.1:${port}/ui/`);
  await signIn(token);
  await page.waitForSelector('#shards tr');
  await first.stop();
  await page.waitForSelector('body.stale');
  t.match(await page.textContent('#banner'), 'The connection to the worker is lost. The data is as of');
  t.match(await page.textContent('#shards'), 'before', 'the last data stays, as old data');
  const second = await startWorker(t);
  await second.app.listen({ host: '127.0.0.1', port });
  t.equal((await commit(second, 'after', 'model')).statusCode, 201);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.waitForFunction(() => document.getElementById('shards')?.textContent?.includes('after'));
  t.notMatch(await page.textContent('#shards'), 'before');
  t.equal(await page.locator('body.stale').count(), 0);
  t.equal(await page.locator('#banner').isVisible(), false);
  t.same(complaints, []);
});
