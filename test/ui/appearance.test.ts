import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContextOptions } from 'playwright-core';
import t, { type Test } from 'tap';
import type { OverviewJson } from '../../src/http/schemas/overview.js';
import { unlessChromium } from '../support/chromium.js';
import { root } from '../support/paths.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';
import * as overviews from './overviews.js';
import { openPage, stopClock } from './page_under_test.js';
import { openSignedIn } from './signed_in.js';
import { StubbedApi } from './stubbed_api.js';

const { url: origin } = await startWorker(t, { start: false, listen: true });
const url = `${origin}/ui/`;
const readOnly = { status: 403, body: { code: 'FORBIDDEN', detail: 'The token is read-only' } };

const states: Readonly<Record<string, OverviewJson | undefined>> = {
  'signed out': undefined,
  empty: overviews.empty,
  full: overviews.busy,
  damaged: overviews.damaged,
  'a hundred shards': overviews.many(100),
};

/** Opens the page in one of these states, with the token of a reader while it is empty. */
async function openState(t: Test, overview: OverviewJson | undefined, options?: BrowserContextOptions) {
  const opened = await openPage(t, 'about:blank', options);
  const api = await new StubbedApi(overview ?? overviews.empty).serve(opened.page);
  if (overview === overviews.empty) api.audit = readOnly;
  await opened.page.goto(url);
  if (overview !== undefined) {
    await opened.signIn('token');
    await opened.page.waitForSelector('#content:not([hidden])');
  }
  return { ...opened, api };
}

/** Runs in the page. The labels of the map whose contrast is below 4.5:1. */
function unreadableLabels(): string[] {
  const channels = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color: string) => {
    const [red = 0, green = 0, blue = 0] = channels(color).map((value) =>
      value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const backOf = (element: Element | null): string => {
    if (element === null) return 'rgb(255, 255, 255)';
    const { backgroundColor } = getComputedStyle(element);
    return channels(backgroundColor)[3] === 0 ? backOf(element.parentElement) : backgroundColor;
  };
  return [...document.querySelectorAll('.segment bdi, .segment small')].flatMap((label) => {
    if (label.getClientRects().length === 0) return [];
    const both = [luminance(getComputedStyle(label).color), luminance(backOf(label))];
    const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    return contrast < 4.5 ? [`${label.parentElement?.className}: ${label.textContent} ${contrast.toFixed(1)}`] : [];
  });
}

/** Runs in the page. The pattern and the color of each entry of the legend of the map. */
function looksOfLegend(): Record<string, string> {
  const swatches = [...document.querySelectorAll('.legend .swatch')];
  return Object.fromEntries(
    swatches.map((swatch) => {
      const { backgroundImage, backgroundColor } = getComputedStyle(swatch);
      return [swatch.className, `${backgroundImage} ${backgroundColor}`];
    }),
  );
}

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(
    `${colorScheme}: axe-core finds no violation of WCAG 2.2 AA`,
    { ...unlessChromium, timeout: 100_000 },
    async (t) => {
      for (const [name, overview] of Object.entries(states)) {
        const { violations, complaints, page } = await openState(t, overview, { colorScheme });
        t.same(await violations(), [], name);
        t.same(complaints, [], name);
        await page.context().close();
      }
      const { violations, page, api } = await openState(t, overviews.damaged, { colorScheme });
      await api.asked(2);
      api.failure = 'connection';
      api.endPoll();
      await page.waitForSelector('body.stale');
      t.same(await violations(), [], 'connection lost');
    },
  );
}

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(
    `${colorScheme} forced colors: the page is readable, and each use of memory looks different`,
    unlessChromium,
    async (t) => {
      for (const [name, overview] of Object.entries(states)) {
        const { violations, page } = await openState(t, overview, { forcedColors: 'active', colorScheme });
        t.same(await violations(), [], name);
        t.same(await page.evaluate(unreadableLabels), [], `${name}: labels of the map`);
        const looks = await page.evaluate(looksOfLegend);
        t.equal(new Set(Object.values(looks)).size, Object.keys(looks).length, `${name}: ${JSON.stringify(looks)}`);
        await page.context().close();
      }
      const { page } = await openState(t, overviews.busy, { forcedColors: 'active', colorScheme });
      t.ok(Object.keys(await page.evaluate(looksOfLegend)).length > 2);
      await page.keyboard.press('Tab');
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle);
      t.equal(outline, 'solid', 'the focus is visible');
    },
  );
}

t.test('with reduced motion, nothing moves', unlessChromium, async (t) => {
  const moving = async (reducedMotion: 'reduce' | 'no-preference') => {
    const { page } = await openState(t, overviews.damaged, { reducedMotion });
    return page.$$eval('*', (elements) =>
      elements.flatMap((element) => {
        const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(element);
        const isStill = /^0s(, 0s)*$/.test(transitionDuration) && animationName === 'none' && scrollBehavior === 'auto';
        return isStill ? [] : [element.className];
      }),
    );
  };
  t.same(await moving('reduce'), []);
  t.same(new Set(await moving('no-preference')), new Set(['received']), 'the width of received bytes moves otherwise');
});

t.test(
  'at 320 CSS pixels, as at a zoom of 400 %, only tables and the map scroll sideways',
  unlessChromium,
  async (t) => {
    for (const [name, overview] of Object.entries(states)) {
      const { page, violations } = await openState(t, overview, { viewport: { width: 320, height: 256 } });
      t.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320, name);
      t.same(await violations(), [], name);
      const small = await page.$$eval('button, input, select', (controls) =>
        controls.flatMap((control) => {
          const { width, height } = control.getBoundingClientRect();
          return width > 0 && (width < 24 || height < 24) ? [control.outerHTML] : [];
        }),
      );
      t.same(small, [], `${name}: targets have at least 24 by 24 pixels`);
      await page.context().close();
    }
  },
);

t.test('the map is to scale, and shows damage by pattern, mark and text', unlessChromium, async (t) => {
  const { page } = await openState(t, overviews.damaged);
  const blocks = await page.$$eval('.segment', (segments) => {
    const total = segments[0]?.parentElement?.clientWidth ?? 0;
    return segments.map((segment) => ({
      title: segment.getAttribute('title') ?? '',
      part: segment.getBoundingClientRect().width / total,
      pattern: getComputedStyle(segment).backgroundImage,
    }));
  });
  const [device] = overviews.damaged.devices;
  const bytesOf = (title: string): number => {
    const shard = overviews.damaged.shards.find(({ shard_id }) => title.startsWith(`${shard_id}:`));
    if (shard !== undefined) return shard.device_bytes;
    const use = title.startsWith('Reserved')
      ? 'reserved_bytes'
      : title.startsWith('Free')
        ? 'free_bytes'
        : 'other_bytes';
    return device?.[use] ?? 0;
  };
  t.equal(blocks.length, overviews.damaged.shards.length + 3);
  for (const { title, part } of blocks) {
    t.ok(Math.abs(part - bytesOf(title) / (device?.total_bytes ?? 0)) < 0.001, `${title} takes ${part}`);
  }
  const patterns = ['llama-70b-3', 'qwen-32b-2', 'Reserved', 'gemma-old-0'].map(
    (name) => blocks.find(({ title }) => title.startsWith(name))?.pattern ?? 'none',
  );
  t.equal(
    new Set([...patterns, 'none']).size,
    5,
    'damaged, receiving, reserved and zombie memory have patterns of their own',
  );
  t.equal(await page.locator('.mark').count(), 1);
  t.match(await page.textContent('.damage-list'), /llama-70b-3: 1\.50 MiB damaged in 2 ranges, .*its repair/);
  t.match(await page.getAttribute('.map', 'aria-label'), /Shards 68\.8 GiB \(8\).*Zombie.*Free.*1 damaged shard/);
  const row = page.locator('#shards tr', { hasText: 'llama-70b-3' });
  t.match(await row.textContent(), /corrupt.*1\.50 MiB damaged in 2 ranges, the first at byte 3,221,225,472/);
});

t.test('each section shows what the worker reports', unlessChromium, async (t) => {
  const { page } = await openSignedIn(t, url, overviews.busy, stopClock);
  const textOf = async (selector: string) => (await page.textContent(selector)) ?? '';
  t.match(await textOf('#facts'), /Ready.*24\.7 GiB.*of 141 GiB.*8.*of 12; no known damage.*45 s ago/);
  t.match(await textOf('#pulls'), /qwen-2026-11.*receiving.*15\.5 GiB of 24\.0 GiB, 65 %1\.90 GiB\/s5 s1 of 3 files/);
  t.match(await textOf('#scrub'), /running: 7 of 12 shards.*every 1 h, at .*2\.00 GiB\/s.*ended 21 s ago/);
  t.match(await textOf('#leases-note'), '3 leases: 2 active, 1 lingering.');
  t.match(await textOf('#leases'), /llama-70b-0active.*pid 48211.*uid 1000.*llama-server/);
  t.match(await textOf('#audit'), /1841.*SealVerified.*llama-70b-0/);
  t.match(
    await textOf('#shards tr:nth-child(2)'),
    /llama-70b-0.*sealed.*8\.60 GiB3 s agobegan 14:03:1914:04:19in 57 s1none known–/,
  );
});

t.test('of very many pulls, those that have not ended are shown', unlessChromium, async (t) => {
  const [pull] = overviews.busy.pulls;
  if (pull === undefined) throw new Error('no pull');
  const ended = Array.from({ length: 120 }, (_, index) => ({
    ...pull,
    pull_id: `a-${index}`,
    state: 'sealed' as const,
    ended_at: overviews.busy.taken_at,
  }));
  const { page } = await openState(t, { ...overviews.busy, pulls: [...ended, pull] });
  t.match(await page.locator('#pulls tr').first().textContent(), /^qwen-2026-11/);
  t.equal(await page.locator('#pulls tr').count(), 100);
  t.equal(await page.textContent('#pulls-note'), 'and 21 more');
});

t.test('while there is no model, the page shows how to load one', unlessChromium, async (t) => {
  const { page } = await openState(t, overviews.empty);
  t.equal(await page.textContent('#pull-line'), `npx vram-worker pull hf://org/name:Q4_K_M --url ${origin}`);
  t.match(await page.textContent('#curl-line'), `"${origin}/v1/commit?shard_id=model-0&model_ref=model"`);
  t.match(await page.textContent('#audit-note'), 'The audit log needs the API token.');
  t.equal(await page.locator('#shards-view').isVisible(), false);
});

t.test('the screenshot of the README is made here', unlessChromium, async (t) => {
  const { page } = await openState(t, overviews.damaged, { viewport: { width: 1200, height: 690 } });
  await until(async () => (await page.textContent('#leases')) !== '', 'the page is complete');
  await page.evaluate(() =>
    document.activeElement instanceof HTMLElement ? document.activeElement.blur() : undefined,
  );
  const path = process.env.PAGE_SCREENSHOT;
  const image = await page.screenshot({ animations: 'disabled', ...(path === undefined ? {} : { path }) });
  const committed = readFileSync(join(root, 'docs/page.png'));
  t.same(committed.subarray(16, 24), image.subarray(16, 24), 'docs/page.png has the same size in pixels');
  t.ok(committed.length < 200_000, `${committed.length} bytes`);
});
