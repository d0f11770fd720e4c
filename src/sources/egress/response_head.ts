import { invalid } from './fault.js';

/** Headers that a response has at most once. A second one would let two parsers disagree. */
const singular = new Set([
  'content-encoding',
  'content-length',
  'content-range',
  'etag',
  'last-modified',
  'location',
  'retry-after',
  'transfer-encoding',
]);

/** The status and the headers of a response. @throws SourceFault SOURCE_INVALID for a repeated header */
export class ResponseHead {
  readonly status: number;
  readonly #headers = new Map<string, string>();

  /** @param raw names and values in turn, as Node's `rawHeaders` */
  constructor(status: number, raw: readonly string[]) {
    this.status = status;
    for (let at = 0; at + 1 < raw.length; at += 2) {
      const name = (raw[at] ?? '').toLowerCase();
      const value = raw[at + 1] ?? '';
      const earlier = this.#headers.get(name);
      if (earlier !== undefined && singular.has(name)) throw invalid(`The source sent two ${name} headers`);
      this.#headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
    }
  }

  /** The value of a header by its lower-case name. Lists are joined. */
  get(name: string): string | undefined {
    return this.#headers.get(name);
  }

  /** The length of the body as the source states it; undefined if it does not. @throws SOURCE_INVALID */
  get contentLength(): number | undefined {
    const text = this.get('content-length');
    if (text === undefined) return undefined;
    const length = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(length)) throw invalid('The source sent an invalid Content-Length');
    return length;
  }

  /** A strong entity tag (RFC 9110 §8.8.3); undefined without one. Weak tags do not identify bytes. */
  get strongEtag(): string | undefined {
    const tag = this.get('etag');
    return tag !== undefined && /^"[\u0021\u0023-\u007e\u0080-\u00ff]*"$/.test(tag) ? tag : undefined;
  }

  /** Refuses a body that is not the plain bytes of the object. @throws SOURCE_INVALID */
  requirePlainBody(): void {
    const encoding = this.get('content-encoding')?.trim().toLowerCase();
    if (encoding !== undefined && encoding !== '' && encoding !== 'identity') {
      throw invalid('The source compressed the body, although the worker asked for identity');
    }
    const coding = this.get('transfer-encoding')?.trim().toLowerCase();
    if (coding !== undefined && coding !== 'chunked') throw invalid('The source used an unknown transfer coding');
    if (coding !== undefined && this.get('content-length') !== undefined) {
      throw invalid('The source sent both Content-Length and Transfer-Encoding');
    }
  }
}
