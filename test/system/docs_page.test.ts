import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { launchChromium, unlessChromium } from '../support/chromium.js';
import { unlessInstalled } from '../support/installed.js';
import { startNginx } from '../support/nginx.js';
import { root } from '../support/paths.js';
import { startWorker, type TestWorker } from '../support/worker.js';

async function authorize(page: Page, token: string): Promise<void> {
  await page.locator('.auth-wrapper .authorize').first().click();
  await page.locator('.auth-container input[type=text]').fill(token);
  await page.locator('.auth-btn-wrapper .authorize').click();
  await page.locator('.btn-done').click();
}

/** Opens the docs page at a URL, enters the token, and calls `plan` with "Execute". */
async function planFromPage(t: Test, url: string, { token }: TestWorker): Promise<void> {
  const browser = await launchChromium();
  t.teardown(() => browser.close());
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));

  await page.goto(`${url}/docs`);
  t.equal(page.url(), `${url}/docs/`);
  await authorize(page, token);
  const plan = page.locator('#operations-placement-plan');
  await plan.locator('.opblock-summary-control').click();
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith('/v1/plan')),
    plan.locator('.execute').click(),
  ]);
  t.equal(answer.url(), `${url}/v1/plan`);
  t.equal(answer.status(), 200);
  t.match(await answer.json(), { feasible: true });
  t.match(await plan.locator('.live-responses-table tbody .response-col_status').first().textContent(), '200');
  t.same(complaints, []);
}

t.test('the docs page renders, takes a token and calls plan', { ...unlessChromium, timeout: 100_000 }, async (t) => {
  const worker = await startWorker(t, { listen: true });
  await planFromPage(t, worker.url, worker);
});

/** The configuration that docs/operations.md recommends. */
function location(worker: TestWorker): string {
  const [, block = ''] = /```nginx\n(.*?)```/s.exec(readFileSync(join(root, 'docs/operations.md'), 'utf8')) ?? [];
  return block.replace('http://127.0.0.1:8001', worker.url);
}

const behindNginx = { ...unlessInstalled('nginx'), timeout: 100_000 };

t.test('the docs page works behind nginx with a path prefix', { ...behindNginx, ...unlessChromium }, async (t) => {
  const worker = await startWorker(t, { listen: true });
  await planFromPage(t, `${await startNginx(t, location(worker))}/worker`, worker);
});

t.test('redirects and Location headers lead through nginx with a path prefix', behindNginx, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const url = `${await startNginx(t, location(worker))}/worker`;
  const page = await fetch(`${url}/docs`);
  t.equal(page.url, `${url}/docs/`);
  for (const [, file = ''] of (await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)) {
    t.equal((await fetch(new URL(file, page.url))).status, 200, file);
  }
  const { servers } = (await (await fetch(`${url}/openapi.json`)).json()) as { servers: { url: string }[] };
  t.equal(new URL(`${servers[0]?.url}/v1/commit`, `${url}/openapi.json`).href, `${url}/v1/commit`);
  const headers = { authorization: `Bearer ${worker.token}` };
  const commit = await fetch(`${url}/v1/commit?shard_id=a&model_ref=m`, {
    method: 'PUT',
    headers,
    body: Buffer.from('bytes'),
  });
  const shard = await fetch(new URL(commit.headers.get('location') ?? '', commit.url), { headers });
  t.match(await shard.json(), { shard_id: 'a', state: 'sealed' });
});
