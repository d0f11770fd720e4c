import type { Test } from 'tap';
import type { OverviewJson } from '../../src/http/schemas/overview.js';
import { openPage, type PageUnderTest } from './page_under_test.js';
import { StubbedApi } from './stubbed_api.js';

/** Opens the page of a worker in this state, with the token `secret-token`. */
export async function openSignedIn(
  t: Test,
  url: string,
  overview: OverviewJson,
  prepare?: (opened: PageUnderTest) => Promise<void>,
) {
  const opened = await openPage(t, 'about:blank');
  const api = await new StubbedApi(overview).serve(opened.page);
  await prepare?.(opened);
  await opened.page.goto(url);
  await opened.signIn('secret-token');
  await opened.page.waitForSelector('#content:not([hidden])');
  return { ...opened, api };
}
/** What has the focus, and whether a person sees that it has. */
export const focused = ({ page }: PageUnderTest) =>
  page.evaluate(() => {
    const { activeElement: element } = document;
    if (element === null) return { name: '', isVisible: false };
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const name =
      element.id || element.getAttribute('aria-labelledby') || element.textContent?.slice(0, 40) || element.tagName;
    return { name: name.trim(), isVisible: outlineStyle !== 'none' && outlineWidth !== '0px' };
  });
