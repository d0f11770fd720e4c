import { retryOf, WorkerError } from '../errors.js';

/** The largest content of a frame. */
export const maxFrameBytes = 1024 * 1024;

/** The little-endian length before the content. */
export const lengthBytes = 4;

/** The lines of a frame after its type. Lists repeat their key. */
export type Fields = readonly (readonly [key: string, value: string])[];

export interface Frame {
  readonly type: string;
  readonly fields: Fields;
}

/** Bytes that are not a frame. The session ends, because the rest of the stream has no meaning. */
export class FrameError extends WorkerError {
  constructor(message: string) {
    super('INVALID_PARAMS', message);
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Parses the content of a frame: lines `key=value`, the first one with the key `type`. @throws FrameError */
export function parseFrame(content: Uint8Array, maxLines = maxFrameBytes): Frame {
  const lines = textOf(content).split('\n', maxLines + 1);
  if (lines.length > maxLines) throw new FrameError(`A frame has more than ${maxLines} lines`);
  // The last line may end with a newline.
  if (lines.at(-1) === '') lines.pop();
  const [first, ...fields] = lines.map(fieldOf);
  if (first?.[0] !== 'type') throw new FrameError('A frame has no type');
  return { type: first[1], fields };
}

/** A frame with its length. Null is an empty value. Line breaks of values become spaces. @throws FrameError if it is too long */
export function encodeFrame(type: string, fields: Readonly<Record<string, FieldValue>> = {}): Buffer {
  const lines = Object.entries(fields).flatMap(([key, value]) =>
    (Array.isArray(value) ? value : [value]).map((each: FieldValue) => line(key, each)),
  );
  const content = Buffer.from([line('type', type), ...lines].join(''));
  if (content.length > maxFrameBytes) throw new FrameError('The answer is too long');
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32LE(content.length);
  return Buffer.concat([length, content]);
}

/** The answer to a request that failed. Without an id the session ends. */
export function encodeError(id: number | undefined, error: WorkerError): Buffer {
  const { retriable, afterMs } = retryOf(error);
  return encodeFrame('error', {
    ...(id === undefined ? {} : { id }),
    code: error.code,
    detail: error.message,
    retriable,
    retry_after_ms: afterMs === undefined ? null : Math.max(1, Math.ceil(afterMs)),
  });
}

export type FieldValue = string | number | boolean | null | readonly string[];

const line = (key: string, value: FieldValue): string => `${key}=${String(value ?? '').replaceAll('\n', ' ')}\n`;

function textOf(content: Uint8Array): string {
  let text = '';
  try {
    text = decoder.decode(content);
  } catch {
    throw new FrameError('A frame is not UTF-8');
  }
  if (text.includes('\0')) throw new FrameError('A frame has a zero byte');
  return text;
}

function fieldOf(line: string): readonly [string, string] {
  const equals = line.indexOf('=');
  if (equals < 1) throw new FrameError('A line of a frame has no key');
  return [line.slice(0, equals), line.slice(equals + 1)];
}
