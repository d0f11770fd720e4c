import t from 'tap';
import { errorCodes, outcomeOf, WorkerError } from '../src/errors.js';

t.test('the set of error codes is closed: clients depend on each', async (t) => {
  t.same([...errorCodes].sort(), [
    'AUDIT_UNAVAILABLE',
    'AUTH_FAILED',
    'CUDA_ERROR',
    'DEVICE_MISMATCH',
    'DIGEST_MISMATCH',
    'DRAINING',
    'FORBIDDEN',
    'FORMAT_INVALID',
    'HOST_OOM',
    'INTERNAL',
    'INVALID_PARAMS',
    'KEEPER_FULL',
    'KEEPER_UNAVAILABLE',
    'LENGTH_MISMATCH',
    'LENGTH_REQUIRED',
    'MODEL_DIR_UNAVAILABLE',
    'MODEL_TOO_LARGE',
    'NOT_EXPORTABLE',
    'NOT_FOUND',
    'POLICY_VIOLATION',
    'PULL_CANCELLED',
    'PULL_CONFLICT',
    'RATE_LIMITED',
    'RESERVATION_EXPIRED',
    'SEAL_VERIFICATION_FAILED',
    'SHARD_BUSY',
    'SHARD_CONFLICT',
    'SHARD_LEASED',
    'SOURCE_AUTH_FAILED',
    'SOURCE_CHANGED',
    'SOURCE_FORBIDDEN',
    'SOURCE_INVALID',
    'SOURCE_NOT_FOUND',
    'SOURCE_TIMEOUT',
    'SOURCE_UNAVAILABLE',
    'SOURCE_UNSUPPORTED',
    'STALE_ALLOCATION',
    'STARTING',
    'TOO_MANY_COMMITS',
    'TOO_MANY_PULLS',
    'TUS_VERSION_UNSUPPORTED',
    'UNSUPPORTED_MEDIA_TYPE',
    'UNSUPPORTED_VERSION',
    'UPLOAD_EXPIRED',
    'UPLOAD_OFFSET',
    'UPLOAD_TIMEOUT',
    'VRAM_OOM',
  ]);
});

t.test('an error keeps its code, message and options', async (t) => {
  const cause = new Error('the cause');
  const sizes = { neededBytes: 2, availableBytes: 1 };
  const error = new WorkerError('VRAM_OOM', 'too little', { cause, sizes, retryAfterMs: 5, retriable: true });
  t.match(error, { code: 'VRAM_OOM', message: 'too little', cause, sizes, retryAfterMs: 5, retriable: true });
  t.equal(new WorkerError('INTERNAL', 'x').cause, undefined);
});

t.test('an outcome is ok, the code of the error, or INTERNAL', async (t) => {
  t.equal(outcomeOf(undefined), 'ok');
  t.equal(outcomeOf(new WorkerError('VRAM_OOM', 'too little')), 'VRAM_OOM');
  t.equal(outcomeOf(new TypeError('x')), 'INTERNAL');
});
