/** More than any name in a repository. */
const maxPathLength = 1024;

/**
 * Whether a name that a source lists is a plain relative path: segments between single slashes, none of them `.` or
 * `..`, without a backslash, a drive, or a control character. Names are never paths of this host; this keeps them from
 * becoming parts of a URL or a log line that mean something else.
 */
export function isFilePath(name: string): boolean {
  if (name.length === 0 || name.length > maxPathLength || /[\p{Cc}\p{Cs}]/u.test(name)) return false;
  if (/^[A-Za-z]:/.test(name) || name.includes('\\')) return false;
  return name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

/** Whether a name has no folder, as the files that an index names must. */
export const isBaseName = (name: string): boolean => isFilePath(name) && !name.includes('/');
