import { createHash, createHmac } from 'node:crypto';

/** A request as the bytes of its line and headers had it. */
export interface SignedRequest {
  readonly method: string;
  /** The path and query of the request line. */
  readonly target: string;
  /** By lower-case name, `host` included. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface SigningKeys {
  readonly accessKeyId: string;
  readonly secret: string;
  readonly region: string;
  readonly service: string;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/**
 * The `Authorization` of AWS Signature Version 4, written from its specification with node:crypto alone. `date` is the
 * basic form of ISO 8601.
 */
export function authorizationOf(
  request: SignedRequest,
  keys: SigningKeys,
  { date, signedHeaders }: { readonly date: string; readonly signedHeaders: readonly string[] },
): string {
  const { accessKeyId, secret, region, service } = keys;
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical(request, signedHeaders))].join('\n');
  const key = [region, service, 'aws4_request'].reduce(hmac, hmac(`AWS4${secret}`, date.slice(0, 8)));
  const signature = hmac(key, text).toString('hex');
  return `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`;
}

/** Whether the `Authorization` of a request is right, and signs the host, every x-amz header and the given ones. */
export function isSigned(request: SignedRequest, keys: SigningKeys, required: readonly string[] = []): boolean {
  const authorization = request.headers.get('authorization') ?? '';
  const signedHeaders = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? [];
  const date = request.headers.get('x-amz-date') ?? '';
  const needed = ['host', ...required, ...[...request.headers.keys()].filter((name) => name.startsWith('x-amz-'))];
  return (
    needed.every((name) => signedHeaders.includes(name)) &&
    authorization === authorizationOf(request, keys, { date, signedHeaders })
  );
}

/** The path is taken as sent: S3 neither normalizes nor decodes it. */
function canonical({ method, target, headers }: SignedRequest, signedHeaders: readonly string[]): string {
  const [path = '', query = ''] = target.split(/\?(.*)/s);
  const pairs = query === '' ? [] : query.split('&').map((pair) => (pair.includes('=') ? pair : `${pair}=`));
  const lines = signedHeaders.map((name) => `${name}:${(headers.get(name) ?? '').trim().replace(/ +/g, ' ')}`);
  const hash = headers.get('x-amz-content-sha256') ?? sha256('');
  return [method, path, pairs.sort().join('&'), ...lines, '', signedHeaders.join(';'), hash].join('\n');
}
