import type { ErrorCode, WorkerError } from '../../errors.js';
import type { Clock } from '../egress/clock.js';
import { changed, SourceFault } from '../egress/fault.js';
import type { ResponseHead } from '../egress/response_head.js';
import { requestedWaitMs } from '../egress/retry_after.js';
import { InvalidXml, visitXml } from './xml.js';

interface Meaning {
  readonly code: ErrorCode;
  readonly text: string;
}

const denied = (text: string): Meaning => ({ code: 'SOURCE_AUTH_FAILED', text });
const missing = (text: string): Meaning => ({ code: 'SOURCE_NOT_FOUND', text });

const expired = denied('The session token of the S3 credentials has expired or is invalid: replace credentials_file');
const otherRegion = denied(
  'The bucket is in another region: correct region and endpoint in the settings of the source',
);

/** The codes of S3 errors that clients can act on. */
const meanings = new Map<string, Meaning>([
  ['NoSuchKey', missing('The object does not exist in the bucket')],
  ['NoSuchVersion', missing('The version of the object does not exist')],
  ['NoSuchBucket', missing('The bucket does not exist')],
  ['InvalidArgument', missing('The source does not accept the version of the object')],
  ['InvalidBucketName', missing('The source does not accept the name of the bucket')],
  ['MethodNotAllowed', missing('The version of the object is a delete marker')],
  ['AccessDenied', denied('The source denied access: the credentials do not allow it, or the object does not exist')],
  ['AllAccessDisabled', denied('The source has disabled access to the bucket')],
  ['InvalidAccessKeyId', denied('The source does not know access_key_id of credentials_file')],
  ['SignatureDoesNotMatch', denied('The signature is wrong: check secret_access_key of credentials_file, and region')],
  ['ExpiredToken', expired],
  ['InvalidToken', expired],
  ['TokenRefreshRequired', expired],
  [
    'RequestTimeTooSkewed',
    denied('The clock of this host differs too much from that of the source: correct the clock'),
  ],
  ['RequestExpired', denied('The clock of this host differs too much from that of the source: correct the clock')],
  ['AuthorizationHeaderMalformed', otherRegion],
  ['PermanentRedirect', otherRegion],
  ['IllegalLocationConstraintException', otherRegion],
  [
    'InvalidRequest',
    {
      code: 'SOURCE_UNSUPPORTED',
      text: 'The source refused the request: its objects may be encrypted with other keys',
    },
  ],
  [
    'InvalidObjectState',
    { code: 'SOURCE_UNSUPPORTED', text: 'The object is archived: restore it at the source first' },
  ],
]);

/** Codes with any status that another attempt can change. */
const retriable = new Set([
  ...['SlowDown', 'ServiceUnavailable', 'InternalError', 'RequestTimeout', 'Busy', 'OperationAborted'],
  ...['Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'BandwidthLimitExceeded', 'TooManyRequests'],
]);

/** The fault of an S3 error by the code in its body; undefined if the status alone decides. Repeats nothing of it. */
export async function s3Fault(head: ResponseHead, body: Uint8Array, clock: Clock): Promise<WorkerError | undefined> {
  const code = await errorCodeOf(body);
  if (code === undefined) return undefined;
  if (code === 'PreconditionFailed') return changed('The object was replaced at the source');
  if (retriable.has(code)) {
    const waitMs = requestedWaitMs(head, clock);
    const options = { rule: 'backoff', ...(waitMs === undefined ? {} : { waitMs }) } as const;
    return new SourceFault('SOURCE_UNAVAILABLE', 'The source could not serve the request now', options);
  }
  const meaning = meanings.get(code);
  return meaning === undefined ? undefined : new SourceFault(meaning.code, meaning.text);
}

/**
 * Refuses the redirect to another region: its signature would be wrong there, and S3 names no URL to follow.
 * @throws SourceFault SOURCE_AUTH_FAILED
 */
export function requireRegion(head: ResponseHead, region: string): void {
  const named = head.get('x-amz-bucket-region');
  const isElsewhere = named !== undefined && named !== region;
  if (head.status === 301 && (isElsewhere || head.get('location') === undefined)) {
    throw new SourceFault(otherRegion.code, otherRegion.text);
  }
  if (head.status === 400 && isElsewhere) throw new SourceFault(otherRegion.code, otherRegion.text);
}

async function errorCodeOf(body: Uint8Array): Promise<string | undefined> {
  let code: string | undefined;
  try {
    await visitXml(body, (path, text) => {
      if (path === 'Error/Code') code ??= text.trim();
    });
    return code;
  } catch (error) {
    if (error instanceof InvalidXml) return undefined;
    throw error;
  }
}
