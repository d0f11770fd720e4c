import type { Page, Route } from 'playwright-core';
import type { OverviewJson } from '../../src/http/schemas/overview.js';
import { until } from '../support/until.js';
import * as overviews from './overviews.js';

/** Answers the requests of a page under `/v1` in place of a worker. It can be asked for states that a worker rarely has. */
export class StubbedApi {
  #overview: OverviewJson;
  #version = 1;
  #onChange: () => void = () => undefined;
  leases = overviews.leases;
  audit: { readonly status: number; readonly body: object } = { status: 200, body: overviews.audit };
  /** Responses with audit entries wait for it. */
  auditGate: Promise<void> = Promise.resolve();
  /** The URLs that get 429. */
  refuses: (url: URL) => boolean = () => false;
  /** When a long poll ends without a change. */
  longestPollMs = 10_000;
  /** How long the worker says that it waited before a 304. */
  waitedMs = 0;
  /** In place of every response. */
  failure: 'connection' | { readonly status: number; readonly body: object } | undefined;
  readonly requests: { readonly url: string; readonly headers: Record<string, string> }[] = [];

  constructor(overview: OverviewJson) {
    this.#overview = overview;
  }

  /** Answers the page's requests until the page is closed. */
  async serve(page: Page): Promise<this> {
    await page.route(/\/v1\//, (route) => this.#answer(route).catch(() => undefined));
    return this;
  }

  set overview(overview: OverviewJson) {
    this.#overview = overview;
    this.#version += 1;
    this.#onChange();
  }

  get overview(): OverviewJson {
    return this.#overview;
  }

  /** Ends the long poll, with the next failure if there is one. */
  endPoll(): void {
    this.#onChange();
  }

  /** Resolves when the page has asked this number of times for an overview. */
  async asked(count: number): Promise<void> {
    await until(() => this.overviewRequests >= count, `the page asks for the overview ${count} times`);
  }

  get overviewRequests(): number {
    return this.requests.filter(({ url }) => url.includes('/overview')).length;
  }

  async #answer(route: Route): Promise<void> {
    const request = route.request();
    const url = new URL(request.url());
    this.requests.push({ url: request.url(), headers: await request.allHeaders() });
    if (this.refuses(url))
      return await route.fulfill({
        status: 429,
        json: { code: 'RATE_LIMITED', detail: 'no places', retry_after_ms: 100 },
      });
    if (url.pathname.endsWith('/overview')) {
      const isKnown = (await request.headerValue('if-none-match')) === this.#tag;
      if (isKnown && this.failure === undefined && url.searchParams.has('wait_seconds')) await this.#change();
      if (this.failure === undefined) {
        if ((await request.headerValue('if-none-match')) === this.#tag)
          return await route.fulfill({ status: 304, headers: { 'server-timing': `wait;dur=${this.waitedMs}` } });
        return await route.fulfill({ json: this.#overview, headers: { etag: this.#tag } });
      }
    }
    if (this.failure === 'connection') return await route.abort('connectionrefused');
    if (this.failure !== undefined)
      return await route.fulfill({ status: this.failure.status, json: this.failure.body });
    if (url.pathname.endsWith('/leases')) return await route.fulfill({ json: this.leases });
    const { status, body } = this.audit;
    const isOlder = url.searchParams.has('before_seq');
    await this.auditGate;
    await route.fulfill({ status, json: isOlder ? overviews.olderAudit : body });
  }

  get #tag(): string {
    return `W/"${this.#version}"`;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      // A poll without an answer must not keep the test from ending.
      const timer = setTimeout(resolve, this.longestPollMs).unref();
      this.#onChange = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
