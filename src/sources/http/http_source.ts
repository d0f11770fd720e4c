import { type Digest, digestOf } from '../../seal/digest.js';
import type { ByteSink } from '../egress/byte_sink.js';
import type { Egress } from '../egress/egress.js';
import { invalid, SourceFault } from '../egress/fault.js';
import type { ByteRange, ObjectVersion } from '../egress/range_response.js';
import { transferRange } from '../egress/ranged_transfer.js';
import type { Credential, SourceRequest, TransferOptions } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import { isPersistable, parseUrl } from '../egress/url_rules.js';
import type { DigestClaim, RangedSource } from '../ranged_source.js';
import { type Probe, probe } from './probe.js';
import { sidecarDigest } from './sidecar.js';

const maxSidecarBytes = 64 * 1024;

/** A file of an HTTP server. */
export class HttpSource implements RangedSource {
  readonly url: URL;
  readonly claim: DigestClaim | undefined;
  readonly supportsRanges: boolean;
  readonly #egress: Egress;
  readonly #credential: Credential | undefined;
  readonly #version: ObjectVersion;

  private constructor(
    place: { readonly egress: Egress; readonly url: URL; readonly credential: Credential | undefined },
    { version, supportsRanges }: Probe,
    claim: DigestClaim | undefined,
  ) {
    this.#egress = place.egress;
    this.url = place.url;
    this.#credential = place.credential;
    this.#version = version;
    this.supportsRanges = supportsRanges;
    this.claim = claim;
  }

  /**
   * Learns the length, the version and the claimed digest of a file. Reads no byte of it.
   * @param text the URL as the client wrote it
   * @throws WorkerError INVALID_PARAMS, and every SOURCE_ code
   */
  static async open(
    egress: Egress,
    text: string,
    { credential, ...options }: TransferOptions & { readonly credential?: Credential | undefined },
  ): Promise<HttpSource> {
    const url = parseUrl(text, 'INVALID_PARAMS');
    egress.policy.requireFirst(url);
    const request: SourceRequest = { role: 'endpoint', url, credential };
    const found = await probe(egress, request, options);
    const claim = claimOf(found.head) ?? (await sidecarClaim(egress, request, options));
    return new HttpSource({ egress, url, credential }, found, claim);
  }

  get totalBytes(): number {
    return this.#version.totalBytes;
  }

  get etag(): string | undefined {
    return this.#version.etag;
  }

  copyTo(sink: ByteSink, range: ByteRange, options: TransferOptions): Promise<void> {
    const request: SourceRequest = { role: 'endpoint', url: this.url, credential: this.#credential };
    const { supportsRanges } = this;
    const object = { version: this.#version, supportsRanges, request: () => request };
    return transferRange(this.#egress, { object, range }, sink, options);
  }

  close(): void {}
}

/** @throws SOURCE_INVALID for a malformed sha-256 value */
function claimOf(head: ResponseHead): DigestClaim | undefined {
  const text = head.get('repr-digest');
  const found = [...(text ?? '').matchAll(/(?:^|,)\s*sha-256=:([^:]*):/g)].map(([, base64 = '']) => base64);
  if (found.length === 0) return undefined;
  const digests = new Set<Digest>();
  for (const base64 of found) {
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.length !== 32 || bytes.toString('base64') !== base64)
      throw invalid('The source sent a malformed Repr-Digest');
    digests.add(digestOf(bytes));
  }
  const [digest] = digests;
  if (digest === undefined || digests.size > 1) throw invalid('The source sent two different Repr-Digests');
  return { digest, from: 'repr-digest' };
}

/** The claim of `FILE.sha256` next to the file. Without that file, or with an unreadable one, there is no claim. */
async function sidecarClaim(
  egress: Egress,
  { url, ...request }: SourceRequest,
  options: TransferOptions,
): Promise<DigestClaim | undefined> {
  // A query is usually a signature of this one path.
  if (!isPersistable(url)) return undefined;
  const sidecar = new URL(url);
  sidecar.pathname += '.sha256';
  try {
    const { value } = await egress.bytes({ ...request, url: sidecar }, maxSidecarBytes, options);
    const name = decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf('/') + 1));
    const digest = sidecarDigest(value.toString('utf8'), name);
    return digest === undefined ? undefined : { digest, from: 'sidecar' };
  } catch (error) {
    if (error instanceof SourceFault && isAbsence(error)) return undefined;
    throw error;
  }
}

/** Servers answer 403 or 404 for a file that does not exist, and some a page of any length. */
const isAbsence = ({ code }: SourceFault): boolean =>
  ['SOURCE_NOT_FOUND', 'SOURCE_AUTH_FAILED', 'SOURCE_INVALID', 'SOURCE_FORBIDDEN'].includes(code);
