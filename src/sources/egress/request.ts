import type { WorkerError } from '../../errors.js';
import type { Bandwidth } from './bandwidth.js';
import type { ResponseHead } from './response_head.js';
import type { ReconnectBudget } from './retry_policy.js';

/** A request before headers of credentials are added. */
export interface UnsignedRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly content?: Uint8Array | undefined;
}

/** Credentials of one origin. No other host of a redirect gets them. */
export interface Credential {
  /** As `URL.origin`. */
  readonly origin: string;
  /** The headers that authorize a request. */
  headersFor(
    request: UnsignedRequest,
    signal: AbortSignal,
  ): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>;
  /** Renews the credentials after a 401, for example by its challenge. One more attempt follows. */
  renew?(head: ResponseHead, signal: AbortSignal): Promise<void>;
}

/** What a source asks the egress for. */
export interface SourceRequest {
  /**
   * - `endpoint`: the URL must be below a prefix of the source.
   * - `realm`: a token server. Redirects are refused.
   */
  readonly role: 'endpoint' | 'realm';
  /** GET by default. Only GET and HEAD follow redirects. */
  readonly method?: 'GET' | 'HEAD' | 'POST' | undefined;
  readonly url: URL;
  /** Sent to every hop, so without secrets. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly content?: Uint8Array | undefined;
  readonly credential?: Credential | undefined;
  /** Sees the head of every hop before it is judged, redirects included. May throw to refuse it. */
  readonly onHop?: ((hop: { readonly url: URL; readonly head: ResponseHead }) => void) | undefined;
  /** Sees the target of every redirect before the policy judges it. May replace it, or throw to refuse it. */
  readonly onRedirect?: ((to: URL) => URL) | undefined;
  /** The error of a final status by the rules of the source; undefined for the general one. */
  readonly explain?: ((hop: { readonly url: URL; readonly head: ResponseHead }) => WorkerError | undefined) | undefined;
  /** As `explain`, which goes first, by the body of at most 64 KiB. Not called for a body of another origin. */
  readonly explainBody?:
    | ((head: ResponseHead, body: Buffer) => WorkerError | undefined | Promise<WorkerError | undefined>)
    | undefined;
}

/** The bounds of one transfer, and who hears of it. */
export interface TransferOptions {
  readonly signal: AbortSignal;
  /** The time limit of the whole transfer, retries included. */
  readonly timeoutMs?: number | undefined;
  /** A limit besides that of the worker. */
  readonly bandwidth?: Bandwidth | undefined;
  /** Shared by the transfers of one file. Default: one of its own. */
  readonly reconnects?: ReconnectBudget | undefined;
  /** Called before each wait for the next attempt. */
  readonly onRetry?: ((retry: Retry) => void) | undefined;
}

export interface Retry {
  /** The number of the attempt that failed, from 1. */
  readonly attempt: number;
  readonly waitMs: number;
  readonly error: WorkerError;
}
