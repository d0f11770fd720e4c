import { SourceFault } from '../egress/fault.js';
import type { ResponseHead } from '../egress/response_head.js';

/** What a request asks the hub for, in the words of its errors. */
export interface HubSubject {
  readonly repo: string;
  readonly revision: string;
  readonly path?: string | undefined;
}

/** As huggingface_hub compares it (`hf_raise_for_status`). */
const disabledMessage = 'Access to this resource is disabled.';

/**
 * The fault of a refusal by the hub itself, from `X-Error-Code`; undefined for other statuses. A CDN sends no such
 * codes, so the caller asks only for responses of the endpoint.
 */
export function hubFault(head: ResponseHead, { repo, revision, path }: HubSubject): SourceFault | undefined {
  const { status } = head;
  if (status < 400 || status >= 500 || status === 429) return undefined;
  switch (head.get('x-error-code')) {
    case 'RepoNotFound':
      return missing(
        `The repository ${repo} does not exist, or it is private and the source has no token that can read it`,
      );
    case 'RevisionNotFound':
      return missing(`The repository ${repo} has no revision ${revision}`);
    case 'EntryNotFound':
      return missing(`The repository ${repo} has no file ${path ?? ''} at the revision ${revision}`);
    case 'GatedRepo':
      return denied(
        `The repository ${repo} is gated: accept its terms at the hub, and set token_file to a token of that account`,
      );
    default:
      return uncodedFault(head, repo);
  }
}

function uncodedFault(head: ResponseHead, repo: string): SourceFault | undefined {
  if (head.get('x-error-message') === disabledMessage) return denied(`The hub has disabled the repository ${repo}`);
  switch (head.status) {
    case 401:
      return denied(`The repository ${repo} is private, gated or missing, or the token of the source is invalid`);
    case 403:
      return denied(`The token of the source does not allow reading the repository ${repo}`);
    default:
      return undefined;
  }
}

const missing = (message: string): SourceFault => new SourceFault('SOURCE_NOT_FOUND', message);
const denied = (message: string): SourceFault => new SourceFault('SOURCE_AUTH_FAILED', message);
