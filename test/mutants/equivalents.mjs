/**
 * Mutants that no test can detect, with the reason. `line` is part of the source line; `from` becomes `to`. An entry that
 * matches no mutant fails the run, so the list cannot become stale.
 */
const jws = 'src/seal/jws.ts';
const auth = 'src/http/plugins/auth.ts';
const allOrNone = 'The pattern matches all three parts or none, and a missing header decodes to null.';
const rotation = 'src/residency/handle/key_rotation.ts';
const entry = 'src/audit/entry.ts';
const log = 'src/audit/log/log.ts';
const group = 'src/residency/commit/shard_group.ts';
const upload = 'src/uploads/upload.ts';
const timer = 'The timer does nothing to a finished upload; clearing it only frees its memory earlier.';
const decoration = 'The decoration only speeds up Fastify; each request sets both fields before they are read.';

export const equivalents = [
  { file: jws, line: 'header === undefined', from: '||', to: '&&', why: allOrNone },
  {
    file: jws,
    line: 'header === undefined',
    from: 'header === undefined || payload === undefined || signature === undefined',
    to: 'false',
    why: allOrNone,
  },
  {
    file: rotation,
    line: 'lifecycle.bumpRevision();',
    from: 'lifecycle.bumpRevision();',
    to: ';',
    why: 'Each new handle bumps the revision as well; without a new handle, pollers cannot observe the key.',
  },
  {
    file: rotation,
    line: 'if (seal === undefined) return [];',
    from: 'seal === undefined',
    to: 'false',
    why: 'Only sealed shards reach this line, and they have a seal; the type is wider than that.',
  },
  {
    file: entry,
    line: 'checksumPattern.exec(line.toString(',
    from: 'max',
    to: 'min',
    why: 'The whole line is searched instead of its end; the pattern matches only at the end.',
  },
  {
    file: 'src/audit/verify/verify_log.ts',
    line: 'return done === true ? undefined : value;',
    from: 'done === true',
    to: 'false',
    why: 'A finished generator also returns undefined; the type does not express that.',
  },
  {
    file: 'src/audit/log/rotation.ts',
    line: '.sort((a, b) =>',
    from: '<',
    to: '<=',
    why: 'No two files of a directory have the same name.',
  },
  {
    file: log,
    line: '  #lacksNewline = false;',
    from: 'false',
    to: 'true',
    why: 'Opening a file sets it, and it is read only afterwards.',
  },
  {
    file: auth,
    line: "app.decorateRequest('tokenFingerprint', '');",
    from: "app.decorateRequest('tokenFingerprint', '');",
    to: ';',
    why: decoration,
  },
  {
    file: auth,
    line: "app.decorateRequest('role', undefined);",
    from: "app.decorateRequest('role', undefined);",
    to: ';',
    why: decoration,
  },
  { file: group, line: 'at.monotonicMs > last.monotonicMs', from: '>', to: '>=', why: 'Equal moments are equal.' },
  {
    file: 'src/residency/state/shards.ts',
    line: 'ofModel.size < inState.size',
    from: '<',
    to: '<=',
    why: 'Of two sets of the same size, each has the page, and its shards cost the same.',
  },
  { file: upload, line: "=== 'idle') clearTimeout(", from: '===', to: '!==', why: timer },
  { file: upload, line: "=== 'idle') clearTimeout(", from: "this.#state.kind === 'idle'", to: 'true', why: timer },
  { file: upload, line: "=== 'idle') clearTimeout(", from: "this.#state.kind === 'idle'", to: 'false', why: timer },
  { file: upload, line: "=== 'idle') clearTimeout(", from: 'clearTimeout(this.#state.timer);', to: ';', why: timer },
];
