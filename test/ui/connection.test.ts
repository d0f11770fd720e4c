import t from 'tap';
import { unlessChromium } from '../support/chromium.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';
import * as overviews from './overviews.js';
import { focused, openSignedIn } from './signed_in.js';

const { url: origin } = await startWorker(t, { start: false, listen: true });
const url = `${origin}/ui/`;

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
  const retry = () => page.evaluate(() => dispatchEvent(new Event('online')));
  api.failure = { status: 503, body: { code: 'DRAINING', detail: 'The worker is shutting down', retry_after_ms: 100 } };
  await retry();
  await until(
    async () => /The worker answered: The worker is shutting down/.test((await page.textContent('#banner')) ?? ''),
    'the cause is shown',
    20_000,
  );
  api.failure = undefined;
  await retry();
  await page.waitForSelector('body:not(.stale)');
  t.equal(await page.locator('#banner').isVisible(), false);
  t.match(await page.textContent('#announcer'), /is back/);
});

t.test('a 304 confirms the data only for as long as the worker waited', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy);
  await api.asked(3);
  const [, second] = api.requests.filter(({ url }) => url.includes('/overview'));
  t.match(second, { url: /wait_seconds=10$/, headers: { 'if-none-match': 'W/"1"' } });
  await until(
    async () => /as of 14:03:3[2-4]/.test((await page.textContent('#freshness')) ?? ''),
    'ten seconds are confirmed',
    15_000,
  );
});

t.test(
  'a hidden page asks once a minute and without a wait, and at once when it is seen again',
  unlessChromium,
  async (t) => {
    const { page, api } = await openSignedIn(t, url, overviews.busy, async ({ page }) => {
      await page.clock.install({ time: overviews.takenAtMs });
      await page.addInitScript(() => {
        let isHidden = false;
        Object.defineProperty(document, 'hidden', { get: () => isHidden });
        Object.assign(globalThis, {
          hide: (value: boolean) => {
            isHidden = value;
            document.dispatchEvent(new Event('visibilitychange'));
          },
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
    t.equal(api.overviewRequests, 2, 'nothing for 55 s');
    await page.clock.runFor(6000);
    await api.asked(3);
    t.notMatch(api.requests.at(-1)?.url, 'wait_seconds');
    await hide(false);
    await api.asked(4);
    t.equal(api.overviewRequests, 4);
  },
);

t.test('one request at a time, also while the audit log is paged during a long poll', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.busy);
  await page.waitForSelector('#older:not([hidden])');
  await api.asked(2);
  await page.click('#older');
  await until(
    () => api.requests.some(({ url: one }) => one.includes('before_seq=1838')),
    'older entries are asked for',
    5000,
  );
  await page.waitForSelector('#newest:not([hidden])');
  t.equal(await page.locator('#banner').isVisible(), false, 'the end of the long poll is not an error');
});
