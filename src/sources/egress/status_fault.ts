import type { WorkerError } from '../../errors.js';
import type { Clock } from './clock.js';
import { changed, invalid, SourceFault, unavailable } from './fault.js';
import type { ResponseHead } from './response_head.js';
import { requestedWaitMs } from './retry_after.js';

const retriable = new Set([408, 425, 429]);
const notImplemented = 501;

/**
 * The fault of a status that is not a success. `isRedirected` says that another host answered: its 403 means that a
 * signed URL has expired.
 */
export function statusFault(
  head: ResponseHead,
  { clock, isRedirected }: { readonly clock: Clock; readonly isRedirected: boolean },
): WorkerError {
  const { status } = head;
  const said = `The source answered with status ${status}`;
  if (retriable.has(status) || (status >= 500 && status !== notImplemented)) {
    const waitMs = requestedWaitMs(head, clock);
    return new SourceFault('SOURCE_UNAVAILABLE', said, {
      rule: 'backoff',
      ...(waitMs === undefined ? {} : { waitMs }),
    });
  }
  switch (status) {
    case 401:
      return new SourceFault('SOURCE_AUTH_FAILED', `${said}: the object is private or does not exist`, {
        rule: 'once',
      });
    case 403:
      if (isRedirected) return unavailable(`${said}: a signed URL may have expired`);
      return new SourceFault('SOURCE_AUTH_FAILED', `${said}: the credentials do not allow it`);
    case 407:
      return new SourceFault('SOURCE_AUTH_FAILED', `${said}: proxies are not supported`);
    case 404:
    case 410:
      return new SourceFault('SOURCE_NOT_FOUND', said);
    case 412:
      return changed(`${said}: the object was replaced`);
    default:
      return invalid(said);
  }
}
