import { answerOf, Pull, type PullFile } from '../client/answers.js';
import type { StreamEvent } from '../client/event_stream.js';

type Fields = Readonly<Record<string, unknown>>;

const pullOf = answerOf(Pull, 'event');

/**
 * The pull after an event: `snapshot` and `end` have all of it, `progress` the figures, `file` a file, and `retry` the
 * cause of another attempt. @throws PeerError
 */
export function mergeEvent(pull: Pull, { event, data }: StreamEvent): Pull {
  const value = objectOf(data);
  if (value === undefined) return pull;
  const isOfFile = typeof value.path === 'string';
  if (event === 'retry') {
    const { problem, path, attempts } = value;
    if (!isOfFile) return pullOf({ ...pull, last_problem: problem });
    return pullOf({ ...pull, files: mergeFiles(pull.files, [{ path, attempts, last_problem: problem }]) });
  }
  const files = isOfFile ? [value] : Array.isArray(value.files) ? value.files : [];
  return pullOf({ ...pull, ...(isOfFile ? {} : value), files: mergeFiles(pull.files, files) });
}

function mergeFiles(known: readonly PullFile[], changed: readonly unknown[]): unknown[] {
  const byPath = new Map<unknown, object>(known.map((file) => [file.path, file]));
  for (const file of changed) {
    if (typeof file !== 'object' || file === null) continue;
    const path: unknown = Reflect.get(file, 'path');
    byPath.set(path, { ...byPath.get(path), ...file });
  }
  return [...byPath.values()];
}

function objectOf(data: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
