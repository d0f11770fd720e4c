import type { Page } from 'playwright-core';
import t from 'tap';
import { unlessChromium } from '../support/chromium.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';
import * as overviews from './overviews.js';
import { stopClock } from './page_under_test.js';
import { focused, openSignedIn } from './signed_in.js';
import type { StubbedApi } from './stubbed_api.js';

const { url: origin } = await startWorker(t, { start: false, listen: true });
const url = `${origin}/ui/`;

const shows = (page: Page, selector: string, pattern: RegExp) =>
  until(async () => {
    const text = await page.textContent(selector, { timeout: 5000 }).catch(() => null);
    return pattern.test(text ?? '');
  }, `${selector} shows ${pattern}`);
/** Advances the page's clock until it has asked this number of times for an overview. */
const passUntilAsked = (page: Page, api: StubbedApi, count: number) =>
  until(async () => {
    await page.clock.runFor(500);
    return api.overviewRequests >= count;
  }, `the page asks for the overview ${count} times`);
/** Ends the page's pause. */
const retry = (page: Page) => page.evaluate(() => dispatchEvent(new Event('online')));

t.test('the token is in this tab alone, and never in a URL, a cookie or the history', unlessChromium, async (t) => {
  const { page, api, urls } = await openSignedIn(t, url, overviews.busy);
  await api.asked(2);
  t.ok(
    api.requests.every(
      ({ headers }) => headers.authorization === 'Bearer secret-token' && headers.cookie === undefined,
    ),
  );
  t.notOk([...urls, page.url()].some((one) => one.includes('secret-token')));
  const stored = () =>
    page.evaluate(() => ({
      session: { ...sessionStorage },
      local: { ...localStorage },
      cookie: document.cookie,
      html: document.documentElement.outerHTML,
    }));
  const { session, local, cookie, html } = await stored();
  t.same([session, local, cookie], [{ 'vram-residency token /ui/': 'secret-token' }, {}, '']);
  t.notMatch(html, 'secret-token');
  t.equal(await page.inputValue('#token'), '');
  t.match(await page.locator('#token').evaluate((node) => node.outerHTML), /type="password".*autocomplete="off"/);
  t.equal(await page.getAttribute('#token', 'name'), null);
  await page.reload();
  await page.waitForSelector('#content:not([hidden])');
  t.pass('a reload does not ask again');
  const other = await page.context().newPage();
  await other.goto(url);
  t.ok(await other.locator('#sign-in').isVisible(), 'another tab asks for it');
  await page.click('#forget');
  t.same((await stored()).session, {});
  t.ok(await page.locator('#sign-in').isVisible());
});

t.test('a token that the worker refuses is forgotten, with all that it showed', unlessChromium, async (t) => {
  const opened = await openSignedIn(t, url, overviews.busy);
  const { page, api } = opened;
  await api.asked(2);
  api.failure = { status: 401, body: { code: 'AUTH_FAILED', detail: 'no' } };
  api.endPoll();
  await page.waitForSelector('#sign-in:not([hidden])');
  t.equal(await page.textContent('[role=alert]'), 'The worker refused this token.');
  t.equal((await focused(opened)).name, 'token');
  t.same(await page.evaluate(() => ({ ...sessionStorage })), {});
  t.notMatch(await page.textContent('body'), /llama|gpu-host/);
  const { length } = api.requests;
  await page.waitForTimeout(1500);
  t.equal(api.requests.length, length, 'and the page asks nothing more');
  await opened.signIn('two words');
  t.match(await page.textContent('[role=alert]'), 'A token has only letters');
  t.equal(api.requests.length, length);
});

t.test('lost data looks lost: no age, no color, and the moment that it describes', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy);
  t.match(await page.textContent('#freshness'), /^Live, as of 14:03:2\d$/);
  await api.asked(2);
  api.failure = 'connection';
  api.endPoll();
  await page.waitForSelector('body.stale');
  t.match(
    await page.textContent('#banner'),
    /The connection to the worker is lost\. The data is as of 14:03:2\d\. Next attempt in \d+ s\./,
  );
  t.match(await page.textContent('#freshness'), /^Old data, as of 14:03:2\d, \d+ s ago$/);
  t.match(await page.textContent('#announcer'), /lost/);
  const times = await page.locator('#shards time, #facts time').allTextContents();
  t.ok(times.length > 10 && times.every((text) => !/ago|in \d|overdue/.test(text)), times.join());
  t.match(await page.locator('#content').evaluate((node) => getComputedStyle(node).filter), 'grayscale(1)');
  api.failure = { status: 503, body: { code: 'DRAINING', detail: 'The worker is shutting down', retry_after_ms: 100 } };
  await retry(page);
  await shows(page, '#banner', /The worker answered: The worker is shutting down/);
  api.failure = undefined;
  await retry(page);
  await page.waitForSelector('body:not(.stale)');
  t.equal(await page.locator('#banner').isVisible(), false);
  t.match(await page.textContent('#announcer'), /is back/);
});

t.test('a 304 confirms the data only for as long as the worker waited', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy, stopClock);
  await passUntilAsked(page, api, 2);
  const [, second] = api.requests.filter(({ url }) => url.includes('/overview'));
  t.match(second, { url: /wait_seconds=10$/, headers: { 'if-none-match': 'W/"1"' } });
  await page.clock.runFor(12_000);
  api.endPoll();
  await passUntilAsked(page, api, 3);
  t.match(
    await page.textContent('#freshness'),
    /^Live, as of 14:03:2[3-7]$/,
    'an early end that arrives late confirms no wait',
  );
  api.waitedMs = 10_000;
  await page.clock.runFor(10_000);
  api.endPoll();
  await shows(page, '#freshness', /^Live, as of 14:03:[45]\d$/);
});

t.test(
  'a hidden page asks once a minute and without a wait, and at once when it is seen again',
  unlessChromium,
  async (t) => {
    const { page, api } = await openSignedIn(t, url, overviews.busy, async (opened) => {
      const { page } = opened;
      await stopClock(opened);
      await page.addInitScript(() => {
        let [isHidden, overviews] = [false, 0];
        const { fetch } = globalThis;
        globalThis.fetch = (url, init) => {
          if (String(url).includes('/overview')) overviews += 1;
          return fetch(url, init);
        };
        Object.defineProperty(document, 'hidden', { get: () => isHidden });
        Object.assign(globalThis, {
          hide: (value: boolean) => {
            isHidden = value;
            document.dispatchEvent(new Event('visibilitychange'));
          },
          countOverviews: () => overviews,
        });
      });
    });
    const hide = (value: boolean) =>
      page.evaluate((hidden) => (globalThis as unknown as { hide: (value: boolean) => void }).hide(hidden), value);
    await page.clock.runFor(1500);
    await api.asked(2);
    await hide(true);
    api.overview = overviews.damaged;
    await page.waitForFunction(() => document.title.startsWith('Not ready'));
    t.equal(api.overviewRequests, 2);
    await page.clock.runFor(55_000);
    const asked = await page.evaluate(() =>
      (globalThis as unknown as { countOverviews: () => number }).countOverviews(),
    );
    t.equal(asked, 2, 'nothing for 55 s');
    api.overview = overviews.busy;
    await page.clock.runFor(6000);
    await api.asked(3);
    t.notMatch(api.requests.filter(({ url: one }) => one.includes('/overview')).at(-1)?.url, 'wait_seconds');
    await page.waitForFunction(() => document.title.startsWith('Ready'));
    await hide(false);
    await api.asked(4);
    t.equal(api.overviewRequests, 4);
  },
);

t.test('one request at a time, also while the audit log is paged during a long poll', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy);
  api.longestPollMs = 3_600_000;
  await page.waitForSelector('#older:not([hidden])');
  await api.asked(2);
  await page.click('#older');
  // Before the page gives up the long poll.
  await until(
    () => api.requests.some(({ url: one }) => one.includes('before_seq=1838')),
    'older entries are asked for',
    30_000,
  );
  await page.waitForSelector('#newest:not([hidden])');
  t.equal(await page.locator('#banner').isVisible(), false, 'the end of the long poll is not an error');
});

t.test('the audit page that is wanted now is the one that is shown', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy, stopClock);
  await page.waitForSelector('#older:not([hidden])');
  const reads = () => api.requests.filter(({ url: one }) => one.includes('/audit')).length;
  let release: () => void = () => undefined;
  api.auditGate = new Promise((resolve) => {
    release = resolve;
  });
  await page.clock.runFor(6000);
  await api.asked(2);
  api.endPoll();
  await until(() => reads() === 2, 'the page reads the audit log again');
  await page.click('#older');
  release();
  await shows(page, '#audit', /^1837/);
  t.ok(await page.locator('#older').isHidden());
});

t.test('audit entries that cannot be read again keep their time', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy, stopClock);
  await page.waitForSelector('#older:not([hidden])');
  const asOf = await page.textContent('#audit-as-of');
  api.audit = { status: 503, body: { code: 'AUDIT_UNAVAILABLE', detail: 'The disk is full' } };
  await page.clock.runFor(8000);
  await api.asked(2);
  api.endPoll();
  await shows(page, '#audit-note', /The disk is full/);
  t.equal(await page.textContent('#audit-as-of'), asOf);
});

t.test('an overview whose leases cannot be read is not shown, and not kept', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy);
  await api.asked(2);
  api.refuses = ({ pathname }) => pathname.endsWith('/leases');
  api.overview = overviews.damaged;
  await shows(page, '#banner', /no places/);
  t.match(await page.title(), /^Ready/);
  api.refuses = () => false;
  api.leases = { leases: overviews.leases.leases.slice(0, 1), next_cursor: null };
  await retry(page);
  await page.waitForFunction(() => document.title.startsWith('Not ready'));
  t.equal(await page.locator('#leases tr').count(), 1);
});

t.test('without a place for a long poll, the data stays live by plain polls', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy, stopClock);
  api.refuses = ({ searchParams }) => searchParams.has('wait_seconds');
  await passUntilAsked(page, api, 4);
  t.notMatch(api.requests.filter(({ url: one }) => one.includes('/overview')).at(-1)?.url, 'wait_seconds');
  await shows(page, '#freshness', /^Live, as of 14:03:3[2-9]$/);
  t.ok(await page.locator('#banner').isHidden());
});

t.test('a clock that is set makes the page read everything again', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy, stopClock);
  await passUntilAsked(page, api, 2);
  await page.clock.setSystemTime(overviews.takenAtMs + 3_600_000);
  api.endPoll();
  await passUntilAsked(page, api, 3);
  t.equal(api.requests.filter(({ url: one }) => one.includes('/overview')).at(-1)?.headers['if-none-match'], undefined);
  await shows(page, '#freshness', /^Live, as of 1\d:03:22/);
});
