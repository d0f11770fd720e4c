import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import tap, { type Test } from 'tap';
import { launchChromium } from '../support/chromium.js';
import { tests } from '../support/paths.js';
import { takenAtMs } from './overviews.js';

/** Success criteria of WCAG 2.2, levels A and AA. */
const wcag = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

interface AxeResult {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
}
declare const axe: { run(options: object): Promise<AxeResult> };

declare global {
  var canary: unknown;
  var refusedByPolicy: string[];
}

export interface PageUnderTest {
  readonly page: Page;
  /** Errors of the page, and refusals of its policy. */
  readonly complaints: string[];
  /** The URLs of all requests. */
  readonly urls: string[];
  readonly signIn: (token: string) => Promise<void>;
  /** The rules of WCAG 2.2 AA that the page breaks, with the elements. */
  readonly violations: () => Promise<string[]>;
}

/** The browser of a test file. */
let browser: Promise<Browser> | undefined;
tap.teardown(async () => await (await browser)?.close());

/**
 * Stops the page's clock when the overviews were taken, before the page is opened. Its timers then run only in
 * `page.clock.runFor`.
 */
export async function stopClock({ page }: PageUnderTest): Promise<void> {
  // A clock can only be stopped at a time that is ahead.
  await page.clock.install({ time: takenAtMs - 3_600_000 });
  await page.clock.pauseAt(takenAtMs);
}

/** Opens a page in a new profile, which ends with the test. */
export async function openPage(t: Test, url: string, options: BrowserContextOptions = {}): Promise<PageUnderTest> {
  browser ??= launchChromium();
  const context = await (await browser).newContext({ timezoneId: 'UTC', locale: 'en-US', ...options });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(100_000);
  await page.addInitScript({ path: join(tests, 'ui/node_modules/axe-core/axe.min.js') });
  await page.addInitScript(() => {
    globalThis.refusedByPolicy = [];
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      globalThis.refusedByPolicy.push(`${violatedDirective} ${blockedURI}`),
    );
  });
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // The browser reports each response with an error status.
    const isStatus = /Failed to load resource/.test(message.text());
    if (['error', 'warning'].includes(message.type()) && !isStatus) complaints.push(message.text());
  });
  const urls: string[] = [];
  page.on('request', (request) => urls.push(request.url()));
  await page.goto(url);
  const signIn = async (token: string) => {
    await page.fill('#token', token);
    await page.press('#token', 'Enter');
  };
  const violations = async () => {
    const result = await page.evaluate(async (values) => await axe.run({ runOnly: { type: 'tag', values } }), wcag);
    return result.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  };
  return { page, complaints, urls, signIn, violations };
}
