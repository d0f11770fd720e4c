import { invalidParams } from '../errors/to_worker_error.js';

/** Keys that clients of tus add, for servers that store files. */
const ignoredKeys = new Set(['filename', 'filetype', 'name', 'type', 'relativePath']);

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const key = /^[\x21-\x2b\x2d-\x7e]+$/;

/**
 * The keys and values of an `Upload-Metadata` header: pairs of a key and a value in base64, separated by commas.
 * @throws WorkerError INVALID_PARAMS if the header is malformed or repeats a key
 */
export function uploadMetadata(header: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const pair of header.split(',')) {
    const [name = '', value = '', ...rest] = pair.trim().split(' ');
    if (!key.test(name) || !base64.test(value) || rest.length > 0)
      throw invalidParams(
        'Upload-Metadata is malformed: send pairs of a key and a value in base64, separated by commas',
      );
    if (values.has(name)) throw invalidParams(`Upload-Metadata repeats ${name}`);
    values.set(name, decode(value, name));
  }
  for (const name of ignoredKeys) values.delete(name);
  return values;
}

function decode(value: string, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, 'base64'));
  } catch {
    throw invalidParams(`Upload-Metadata has an invalid ${name}: it must be UTF-8`);
  }
}
