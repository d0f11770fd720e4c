import type { EgressPolicy } from './policy.js';
import type { ResponseHead } from './response_head.js';
import { parseUrl } from './url_rules.js';

const link = /<([^<>]*)>([^<,]*)/g;
const isNext = /;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:;|$)/i;

/**
 * The URL of the next page in a `Link` header (RFC 8288); undefined on the last page. It must stay on the origin of this
 * page after `rewrite`, which replaces links of another host. @throws SourceFault SOURCE_FORBIDDEN, SOURCE_INVALID
 */
export function nextPageOf(
  head: ResponseHead,
  url: URL,
  policy: EgressPolicy,
  rewrite: (link: URL) => URL = (link) => link,
): URL | undefined {
  for (const [, target = '', parameters = ''] of (head.get('link') ?? '').matchAll(link)) {
    if (!isNext.test(parameters.trimEnd())) continue;
    const next = rewrite(parseUrl(target, 'SOURCE_INVALID', url));
    policy.requireNextPage(url, next);
    return next;
  }
  return undefined;
}
