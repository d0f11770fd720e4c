import { WorkerError } from '../../errors.js';
import type { Egress } from '../egress/egress.js';
import { forbidden } from '../egress/fault.js';
import type { Credential, SourceRequest } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import { parseUrl } from '../egress/url_rules.js';
import { matchesPattern } from '../file_pattern.js';
import type { ConfiguredSource } from '../registry.js';
import type { S3Settings } from '../settings/schema.js';
import { S3Credential } from './credential.js';
import { encodeRfc3986, keyPath, urlBelow } from './key_path.js';
import { requireRegion, s3Fault } from './s3_fault.js';

/** A request for an object or a list. Headers and query hold no secret. */
export interface BucketRequest {
  readonly method?: 'GET' | 'HEAD';
  /** Undefined for the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sees the head of each success. May throw to refuse it. */
  readonly onSuccess?: (head: ResponseHead) => void;
}

/** A bucket that the settings allow, and the requests to it. Its egress reaches nothing else of the source. */
export class Bucket {
  readonly egress: Egress;
  readonly name: string;
  /** The name of the configured source. */
  readonly source: string;
  readonly #url: URL;
  readonly #region: string;
  readonly #credential: Credential | undefined;

  /** @throws WorkerError SOURCE_FORBIDDEN, INVALID_PARAMS */
  constructor({ egress, files }: ConfiguredSource, settings: S3Settings, name: string) {
    const { buckets } = settings;
    if (buckets !== undefined && !buckets.some((pattern) => matchesPattern(pattern, name))) {
      throw forbidden(`The settings of the source ${settings.name} do not allow the bucket`);
    }
    this.name = name;
    this.source = settings.name;
    this.#url = bucketUrl(settings, name);
    this.egress = egress.narrow(this.#url);
    this.#region = settings.region;
    const { clock } = egress.environment;
    this.#credential =
      files.s3 === undefined
        ? undefined
        : new S3Credential(this.#url.origin, files.s3, { region: settings.region, clock });
  }

  /** @throws WorkerError INVALID_PARAMS for a key that a URL cannot name */
  request({ method = 'GET', key, query = {}, headers = {}, onSuccess }: BucketRequest): SourceRequest {
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeRfc3986(value)}`],
    );
    const path = key === undefined ? '' : keyPath(key);
    const url = urlBelow(this.#url, pairs.length === 0 ? path : `${path}?${pairs.join('&')}`);
    return {
      role: 'endpoint',
      method,
      url,
      headers,
      credential: this.#credential,
      onHop: (hop) => {
        requireRegion(hop.head, this.#region);
        if (hop.head.status < 300) onSuccess?.(hop.head);
      },
      explainBody: (head, body) => s3Fault(head, body, this.egress.environment.clock),
    };
  }
}

/** The URL of a bucket, with a slash at the end. @throws WorkerError INVALID_PARAMS */
function bucketUrl({ endpoint, path_style: isPathStyle = false }: S3Settings, name: string): URL {
  const base = parseUrl(endpoint.replace(/\/*$/, '/'), 'INVALID_PARAMS');
  if (isPathStyle) return urlBelow(base, `${encodeRfc3986(name)}/`);
  if (!isHostName(name)) {
    throw new WorkerError('INVALID_PARAMS', 'The bucket is not a host name: the source needs the setting path_style');
  }
  return parseUrl(`${base.protocol}//${name}.${base.host}${base.pathname}`, 'INVALID_PARAMS');
}

/** Hosts do not tell upper case from lower case, and have no empty labels. */
const isHostName = (name: string): boolean =>
  name.split('.').every((label) => /^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?$/.test(label));
