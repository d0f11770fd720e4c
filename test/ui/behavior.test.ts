import t from 'tap';
import { unlessChromium } from '../support/chromium.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';
import * as overviews from './overviews.js';
import { focused, openSignedIn } from './signed_in.js';

const { url: origin } = await startWorker(t, { start: false, listen: true });
const url = `${origin}/ui/`;

t.test(
  'the keyboard alone reaches every control, in the order of the page, and leaves each one',
  unlessChromium,
  async (t) => {
    const overview = { ...overviews.many(120), pulls: overviews.busy.pulls, leases: overviews.busy.leases };
    const opened = await openSignedIn(t, url, overview);
    const { page } = opened;
    await page.reload();
    await page.waitForSelector('#older:not([hidden])');
    const names: string[] = [];
    const forward = ['Skip to content', 'forget', 'pulls-title', 'search', 'state', 'shards-title'];
    const sortButtons = ['Shard ↑', 'State', 'GPU', 'Size', 'Verified', 'Expected by', 'Leases', 'Damage', 'Repair'];
    const expected = [...forward, ...sortButtons, 'previous', 'next', 'leases-view', 'audit-view', 'older'];
    for (const _ of expected) {
      await page.keyboard.press('Tab');
      const { name, isVisible } = await focused(opened);
      t.ok(isVisible, `the focus on ${name} is visible`);
      names.push(name);
    }
    t.same(names, expected);
    for (const name of expected.slice(0, -1).reverse()) {
      await page.keyboard.press('Shift+Tab');
      t.equal((await focused(opened)).name, name);
    }
    await page.keyboard.press('Enter');
    t.equal((await focused(opened)).name, 'main', 'the first link skips to the content');
  },
);

t.test(
  'the focus and the text of the filter outlive refreshes, sorting and turning pages',
  unlessChromium,
  async (t) => {
    const opened = await openSignedIn(t, url, overviews.many(120));
    const { page, api } = opened;
    const sort = page.locator('#shard-head button', { hasText: 'Verified' });
    await sort.focus();
    await page.keyboard.press('Enter');
    t.equal(await page.locator('#shard-head th[aria-sort=ascending]').textContent(), 'Verified ↑');
    await page.keyboard.press('Enter');
    t.equal(await page.locator('#shard-head th[aria-sort=descending]').textContent(), 'Verified ↓');
    api.overview = overviews.many(121);
    await page.waitForFunction(() => document.getElementById('count')?.textContent === '121 shards');
    t.equal((await focused(opened)).name, 'Verified ↓');
    await page.focus('#next');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    t.equal(await page.textContent('#range'), '101 to 121 of 121');
    t.equal((await focused(opened)).name, 'next', 'a button without an effect keeps the focus');
    await page.focus('#search');
    await page.keyboard.type('shard-0011');
    api.overview = overviews.many(122);
    await page.waitForFunction(() => document.getElementById('count')?.textContent === '10 of 122 shards');
    t.match(await page.inputValue('#search'), 'shard-0011');
    t.equal((await focused(opened)).name, 'search');
    await page.selectOption('#state', 'corrupt');
    t.equal(await page.textContent('#count'), '0 of 122 shards');
  },
);

t.test('10,000 shards: the page has few elements, and leaves unchanged ones alone', unlessChromium, async (t) => {
  const { page, api } = await openSignedIn(t, url, overviews.many(10_000));
  t.equal(await page.textContent('#count'), '10,000 shards');
  t.equal(await page.locator('#shards tr').count(), 50);
  t.equal(await page.getAttribute('#shard-table', 'aria-rowcount'), '10001');
  const blocks = await page.locator('.segment').count();
  t.ok(blocks > 100 && blocks <= 2 * 403, `${blocks} blocks on two devices`);
  await page.click('#next');
  t.equal(await page.getAttribute('#shards tr', 'aria-rowindex'), '52');
  await page.fill('#search', 'MODEL-7@');
  t.equal(await page.textContent('#count'), '250 of 10,000 shards');
  await page.fill('#search', '');

  await page.evaluate(() => {
    const changes = { rows: 0, devices: 0 };
    Object.assign(globalThis, { changes });
    const count = (id: string, name: 'rows' | 'devices') =>
      new MutationObserver((records) => {
        for (const { target, type, addedNodes } of records) {
          const isTime = target instanceof Element && target.tagName === 'TIME';
          if (type === 'childList' && addedNodes.length > 0 && !isTime) changes[name] += 1;
        }
      }).observe(document.getElementById(id) ?? document, { childList: true, subtree: true });
    count('shards', 'rows');
    count('devices', 'devices');
  });
  const next = overviews.many(10_000);
  next.shards = next.shards.map((shard, index) => (index === 3 ? { ...shard, leases: 1 } : shard));
  api.overview = next;
  await until(
    async () => /^1/.test((await page.textContent('#shards tr:nth-child(4) td.number:nth-child(7)')) ?? ''),
    'the row changes',
  );
  t.same(await page.evaluate(() => (globalThis as { changes?: object }).changes), { rows: 1, devices: 0 });

  const damagedOne = next.shards.map((shard, index) =>
    index === 5000
      ? {
          ...shard,
          state: 'corrupt' as const,
          corrupt_ranges: [{ offset: 0, length: 524_288 }],
          corrupt_range_count: 1,
          corrupt_bytes: 524_288,
        }
      : shard,
  );
  api.overview = { ...next, shards: damagedOne };
  await page.waitForSelector('.mark');
  t.match(await page.textContent('.damage-list'), /shard-05000: 512 KiB damaged at byte 0/, 'one of them is seen');
});

const hostile =
  `<img src=x onerror="canary('markup')">\u202e"'\`;&lt;<script>canary('script')</script>\u0000\u2028`.padEnd(
    4096,
    'x',
  );

t.test('text of others is only text, and invisible characters are visible', unlessChromium, async (t) => {
  const shards = [0, 1].map((index) => ({
    ...overviews.shardOf(index),
    model_ref: hostile,
    shard_id: `${hostile}${index}`,
    repair: hostile,
    state: 'corrupt' as const,
  }));
  const overview = overviews.overviewOf(shards, {
    pulls: overviews.busy.pulls.map((pull) => ({ ...pull, pull_id: hostile, model_ref: hostile })),
    leases: { total: 1, granted: 0, active: 1, lingering: 0, orphaned: 0 },
    lost: [{ shard_id: hostile, model_ref: hostile, detail: hostile }],
  });
  overview.worker.worker_id = hostile;
  overview.worker.ready_reasons = [{ code: hostile, detail: hostile }];
  for (const device of overview.devices) device.name = hostile;
  const opened = await openSignedIn(t, url, overview, async ({ page }) => {
    await page.addInitScript(() => {
      globalThis.canary = (where: string) => globalThis.refusedByPolicy.push(`canary ${where}`);
    });
  });
  const { page, api, complaints, urls } = opened;
  const [lease] = overviews.leases.leases;
  api.leases = {
    leases: lease === undefined ? [] : [{ ...lease, label: hostile, shard_id: hostile }],
    next_cursor: null,
  };
  api.audit = {
    status: 200,
    body: {
      entries: [{ seq: 1, time: hostile, event: hostile, severity: hostile, actor: hostile, [hostile]: hostile }],
      next_before_seq: null,
    },
  };
  api.overview = { ...overview, taken_at: overview.taken_at.replace('22', '23') };
  await page.waitForFunction(() => document.getElementById('leases')?.textContent?.includes('<img'));
  await until(async () => /<img/.test((await page.textContent('#audit')) ?? ''), 'the audit log is shown');
  t.equal(await page.locator('#main img, #main script, #main style, #main iframe').count(), 0);
  const text = await page.evaluate(() => document.documentElement.outerHTML);
  t.notOk(['\u202e', '\u2028', '\u0000'].some((character) => text.includes(character)));
  for (const id of ['#worker', '#reasons', '#devices', '#pulls', '#models', '#shards', '#leases', '#audit'])
    t.match(await page.textContent(id), '<img src=x onerror="canary(\'markup\')">\\u{202e}', id);
  t.match(await page.title(), '<img src=x');
  t.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  t.same(await page.evaluate(() => globalThis.refusedByPolicy), []);
  t.same(complaints, []);
  t.same(
    urls.filter((one) => !one.startsWith(origin)),
    [],
  );
});

t.test('the policy refuses markup from text, code from text and other hosts', unlessChromium, async (t) => {
  const { page } = await openSignedIn(t, url, overviews.empty);
  const outcome = await page.evaluate(async () => {
    const attempt = (action: () => unknown) => {
      try {
        action();
        return 'allowed';
      } catch {
        return 'refused';
      }
    };
    return {
      script: attempt(() => {
        document.createElement('script').src = 'page.js';
      }),
      innerHtml: attempt(() => {
        document.body.innerHTML = '<p>x</p>';
      }),
      policy: attempt(() =>
        (
          window as unknown as { trustedTypes: { createPolicy: (name: string, rules: object) => void } }
        ).trustedTypes.createPolicy('x', {}),
      ),
      fetch: await fetch('https://example.com/').then(
        () => 'allowed',
        () => 'refused',
      ),
    };
  });
  t.same(outcome, { script: 'refused', innerHtml: 'refused', policy: 'refused', fetch: 'refused' });
});
