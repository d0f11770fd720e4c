import { existsSync } from 'node:fs';
import { chromium, type Page } from 'playwright-core';
import t from 'tap';
import { startWorker } from '../support/worker.js';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const skip = executablePath === undefined && 'no Chromium is installed here: `apt-get install chromium`';

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

async function authorize(page: Page, token: string): Promise<void> {
  await page.locator('.auth-wrapper .authorize').first().click();
  await page.locator('.auth-container input[type=text]').fill(token);
  await page.locator('.auth-btn-wrapper .authorize').click();
  await page.locator('.btn-done').click();
}

t.test('the docs page renders, takes a token and calls plan', { skip, timeout: 100_000 }, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const browser = await chromium.launch({ ...(executablePath === undefined ? {} : { executablePath }), args });
  t.teardown(() => browser.close());
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));

  await page.goto(`${worker.url}/docs`);
  await authorize(page, worker.token);
  const plan = page.locator('#operations-placement-plan');
  await plan.locator('.opblock-summary-control').click();
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith('/v1/plan')),
    plan.locator('.execute').click(),
  ]);
  t.equal(answer.status(), 200);
  t.match(await answer.json(), { feasible: true });
  t.match(await plan.locator('.live-responses-table tbody .response-col_status').first().textContent(), '200');
  t.same(complaints, []);
});
