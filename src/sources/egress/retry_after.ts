import type { Clock } from './clock.js';
import type { ResponseHead } from './response_head.js';

/**
 * How long a source asks the worker to wait: the longer of `Retry-After` (RFC 9110 §10.2.3) and the reset time of an
 * exhausted `RateLimit` plus a second. Undefined without either.
 */
export function requestedWaitMs(head: ResponseHead, clock: Clock): number | undefined {
  const waits = [retryAfterMs(head.get('retry-after'), clock), rateLimitMs(head.get('ratelimit'))];
  const known = waits.filter((wait) => wait !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function retryAfterMs(text: string | undefined, clock: Clock): number | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  // Date.parse takes forms that are not dates of HTTP, such as "-1".
  const date = /^[A-Z][a-z]{2},? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - clock.epochMs());
}

/** Items such as `"api";r=0;t=55`. An item with quota left does not ask for a wait. */
function rateLimitMs(text: string | undefined): number | undefined {
  const resets = (text ?? '').split(',').flatMap((item) => {
    const remaining = /;\s*r=([0-9]{1,15})/.exec(item)?.[1];
    const reset = /;\s*t=([0-9]{1,9})/.exec(item)?.[1];
    return reset === undefined || Number(remaining ?? 0) > 0 ? [] : [Number(reset)];
  });
  return resets.length === 0 ? undefined : (Math.max(...resets) + 1) * 1000;
}
