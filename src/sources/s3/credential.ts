import { AwsV4Signer } from 'aws4fetch';
import type { Clock } from '../egress/clock.js';
import { SourceFault } from '../egress/fault.js';
import type { Credential, UnsignedRequest } from '../egress/request.js';
import type { S3Credentials } from '../settings/loaded_source.js';

/** SHA-256 of the empty body of every request. */
const emptyBodyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const signatureHeaders = ['Authorization', 'X-Amz-Date', 'X-Amz-Content-Sha256', 'X-Amz-Security-Token'];

/** Static keys that sign each request for one origin by AWS Signature Version 4, all its own headers included. */
export class S3Credential implements Credential {
  readonly origin: string;
  readonly #keys: S3Credentials;
  readonly #region: string;
  readonly #clock: Clock;

  constructor(
    origin: string,
    keys: S3Credentials,
    { region, clock }: { readonly region: string; readonly clock: Clock },
  ) {
    this.origin = origin;
    this.#keys = keys;
    this.#region = region;
    this.#clock = clock;
  }

  /** @throws SourceFault SOURCE_AUTH_FAILED if a header cannot hold the keys */
  async headersFor({ method, url, headers }: UnsignedRequest): Promise<Readonly<Record<string, string>>> {
    const { accessKeyId, secretAccessKey, sessionToken } = this.#keys;
    const token = sessionToken?.reveal();
    // `Headers` would show an invalid value in its error.
    if (![accessKeyId, token ?? 'none'].every((text) => /^[\u0021-\u007e]+$/.test(text))) {
      throw new SourceFault('SOURCE_AUTH_FAILED', 'The S3 credentials have characters that a header cannot hold');
    }
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'X-Amz-Content-Sha256': emptyBodyHash },
      accessKeyId,
      secretAccessKey: secretAccessKey.reveal(),
      ...(token === undefined ? {} : { sessionToken: token }),
      service: 's3',
      region: this.#region,
      datetime: basicDate(this.#clock.epochMs()),
      allHeaders: true,
    });
    const signed = await signer.sign();
    return Object.fromEntries(
      signatureHeaders.flatMap((name) => {
        const value = signed.headers.get(name);
        return value === null ? [] : [[name, value] as const];
      }),
    );
  }
}

/** The basic format of ISO 8601, such as 20130524T000000Z. */
const basicDate = (epochMs: number): string => new Date(epochMs).toISOString().replace(/[:-]|\.[0-9]{3}/g, '');
