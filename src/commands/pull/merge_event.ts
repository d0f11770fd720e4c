import { answerOf, Pull, type PullFile } from '../client/answers.js';
import type { StreamEvent } from '../client/event_stream.js';

const pullOf = answerOf(Pull, 'event');

/** The pull after an event: `snapshot` and `end` have all of it, others the fields that changed. @throws PeerError */
export function mergeEvent(pull: Pull, { data }: StreamEvent): Pull {
  const value = objectOf(data);
  if (value === undefined) return pull;
  const files = typeof value.path === 'string' ? [value] : Array.isArray(value.files) ? value.files : [];
  const fields = typeof value.path === 'string' ? {} : value;
  return pullOf({ ...pull, ...fields, files: mergeFiles(pull.files, files) });
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

function objectOf(data: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
