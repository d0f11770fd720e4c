/** A file by its name: a shard, the index of safetensors files, or a file that a model does without. */
export type FileKind = 'shard' | 'index' | 'other';

/** The kind of a file in any folder, if the client named no files. */
export function kindOfFile(path: string): FileKind {
  if (path.endsWith('.safetensors.index.json')) return 'index';
  return path.endsWith('.gguf') || path.endsWith('.safetensors') ? 'shard' : 'other';
}

/**
 * Whether a pattern matches a whole path. `*` matches any characters but a slash; no other character is special. Clients
 * choose patterns, so this is no regular expression: its time is at most the product of both lengths.
 */
export function matchesPattern(pattern: string, path: string): boolean {
  const patterns = pattern.split('/');
  const segments = path.split('/');
  return (
    patterns.length === segments.length && patterns.every((each, index) => matchesSegment(each, segments[index] ?? ''))
  );
}

/** After a mismatch, only the last `*` can take one character more: an earlier one would gain nothing by it. */
function matchesSegment(pattern: string, text: string): boolean {
  let inPattern = 0;
  let inText = 0;
  let star = -1;
  let starEnd = 0;
  while (inText < text.length) {
    if (pattern[inPattern] === '*') {
      star = inPattern;
      starEnd = inText;
      inPattern += 1;
    } else if (pattern[inPattern] === text[inText]) {
      inPattern += 1;
      inText += 1;
    } else if (star >= 0) {
      starEnd += 1;
      inText = starEnd;
      inPattern = star + 1;
    } else return false;
  }
  return [...pattern.slice(inPattern)].every((character) => character === '*');
}

/**
 * Orders paths as a person does: `part-2` before `part-10`. Total, and the same in every locale, because it decides about
 * shard indexes.
 */
export function naturalOrder(a: string, b: string): number {
  const [left, right] = [runsOf(a), runsOf(b)];
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const order = compareRuns(left[index] ?? '', right[index] ?? '');
    if (order !== 0) return order;
  }
  return left.length - right.length || compareText(a, b);
}

const runsOf = (text: string): readonly string[] => text.match(/[0-9]+|[^0-9]+/g) ?? [];

function compareRuns(a: string, b: string): number {
  if (!/^[0-9]/.test(a) || !/^[0-9]/.test(b)) return compareText(a, b);
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  return left.length - right.length || compareText(left, right);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
