import { encodeRfc3986 } from '../../../src/sources/s3/key_path.js';
import { authorizationOf, type SigningKeys } from '../sigv4.js';

/** What a request of the client sends. */
export interface S3Call {
  readonly method: string;
  readonly bucket: string;
  readonly key?: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** Writes objects to a real S3 gateway. It signs with node:crypto, and shares no code with the worker's signer. */
export class S3Client {
  readonly #origin: string;
  readonly #keys: SigningKeys;

  constructor(origin: string, keys: SigningKeys) {
    this.#origin = origin;
    this.#keys = keys;
  }

  createBucket(bucket: string): Promise<Response> {
    return this.call({ method: 'PUT', bucket });
  }

  enableVersions(bucket: string): Promise<Response> {
    const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
    return this.call({ method: 'PUT', bucket, query: 'versioning=', body });
  }

  /** Stores an object. Returns its version, if the bucket has versions. */
  async put(
    bucket: string,
    key: string,
    body: Uint8Array | string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<string | undefined> {
    const response = await this.call({ method: 'PUT', bucket, key, body, headers });
    return response.headers.get('x-amz-version-id') ?? undefined;
  }

  async putMultipart(
    bucket: string,
    key: string,
    parts: readonly Uint8Array[],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const started = await this.call({ method: 'POST', bucket, key, query: 'uploads=', headers });
    const id = /<UploadId>([^<]+)</.exec(await started.text())?.[1] ?? '';
    let list = '';
    for (const [index, body] of parts.entries()) {
      const query = `partNumber=${index + 1}&uploadId=${encodeRfc3986(id)}`;
      const { headers } = await this.call({ method: 'PUT', bucket, key, query, body });
      list += `<Part><PartNumber>${index + 1}</PartNumber><ETag>${headers.get('etag')}</ETag></Part>`;
    }
    const body = `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`;
    await this.call({ method: 'POST', bucket, key, query: `uploadId=${encodeRfc3986(id)}`, body });
  }

  /** @throws Error with the answer of the gateway, unless it succeeds */
  async call({ method, bucket, key = '', query = '', headers = {}, body }: S3Call): Promise<Response> {
    const path = key.split('/').map(encodeRfc3986).join('/');
    const target = `/${bucket}/${path}${query === '' ? '' : `?${query}`}`;
    const date = new Date().toISOString().replace(/[:-]|\.[0-9]{3}/g, '');
    const signed = {
      host: new URL(this.#origin).host,
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
      'x-amz-date': date,
      ...headers,
    };
    const request = { method, target, headers: new Map(Object.entries(signed)) };
    const authorization = authorizationOf(request, this.#keys, { date, signedHeaders: Object.keys(signed).sort() });
    const response = await fetch(`${this.#origin}${target}`, {
      method,
      headers: { ...signed, authorization },
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
    });
    if (response.ok) return response;
    throw new Error(`${method} ${target}: ${response.status} ${await response.text()}`);
  }
}
