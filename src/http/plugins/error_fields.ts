import { fileURLToPath } from 'node:url';

/** The fields of an error in a log line. */
export interface ErrorFields {
  readonly type: string;
  readonly code?: unknown;
  readonly syscall?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: ErrorFields;
}

const maxCauses = 4;
const maxMessageChars = 1000;
const maxStackChars = 4000;

/** The folder of the package, from which stack frames are relative. */
const packageUrl = new URL('../../../', import.meta.url).href;
const packagePath = fileURLToPath(packageUrl);

/** The folders of the code in a stack frame. */
const frameFolders = /(?<=at |\()(?:file:\/\/)?\/(?:[^/\n]*\/)*/g;

/** Absolute paths: in quotes, as file URLs, or up to the next space or bracket. */
const absolutePaths = [
  /(['"`])\/(?:(?!\1).)+\1/g,
  /file:\/\/[^\s)]+/g,
  /(?<![\w:/.<~-])\/[^\s'"`,;:)\]}/][^\s'"`,;)\]}]*/g,
];

/**
 * What the log says about an error and its causes. Of an error of the file system it has only the code and the call,
 * because the message contains paths. Other texts are logged without absolute paths.
 */
export function errorFields(error: unknown, causes = maxCauses): ErrorFields {
  if (!(error instanceof Error)) return { type: typeof error, message: withoutPaths(String(error)) };
  const { code, syscall } = error as Error & { code?: unknown; syscall?: unknown };
  const frames = /\n\s+at .*/s.exec(error.stack ?? '')?.[0] ?? '';
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    ...(typeof syscall === 'string' ? { syscall } : {}),
    message: typeof syscall === 'string' ? `${syscall} failed: ${String(code)}` : withoutPaths(error.message),
    stack: withoutPaths(inPackage(frames.trimStart()).replaceAll(frameFolders, ''), maxStackChars),
    ...(error.cause === undefined || causes === 0 ? {} : { cause: errorFields(error.cause, causes - 1) }),
  };
}

/** Shortens the names of the package's own files. */
const inPackage = (frames: string): string => frames.replaceAll(packageUrl, '').replaceAll(packagePath, '');

/** A text whose absolute paths are replaced by `<path>`. */
export function withoutPaths(text: string, maxChars = maxMessageChars): string {
  return absolutePaths.reduce((result, pattern) => result.replaceAll(pattern, '<path>'), text.slice(0, maxChars));
}
