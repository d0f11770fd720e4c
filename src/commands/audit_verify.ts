import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type KeysOf, readCheckpoint, signatureFault } from '../audit/checkpoint.js';
import { rotatedFiles } from '../audit/log/rotation.js';
import { type AuditVerdict, verifyLog } from '../audit/verify/verify_log.js';
import { type Command, InputError, UsageError } from './command.js';
import { jwksFile, sealKeyFile } from './key_files.js';

const files = { type: 'string', multiple: true } as const;

/** Exit statuses of the command. */
const statuses: Readonly<Record<AuditVerdict['kind'], number>> = { whole: 0, tampered: 1, torn: 3 };

/**
 * `vram-worker audit verify FILE... [--checkpoint FILE] [--key-file FILE] [--jwks FILE]`: whether a log is what workers
 * wrote. One file brings along those that were put aside beside it; several are taken in the order given. Of keys there
 * may be several too, since a log outlives them: a checkpoint holds that one of them has signed.
 */
export const auditVerify: Command = async (args) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { checkpoint: files, 'key-file': files, jwks: files },
  });
  const [only] = positionals;
  if (only === undefined) throw new UsageError('audit verify needs the file of a log');
  try {
    const keysOf = keysFrom(values['key-file'] ?? [], values.jwks ?? []);
    const verdict = verifyLog(positionals.length === 1 ? filesOf(only) : positionals, {
      kept: keptIn(values.checkpoint ?? [], keysOf),
      ...(keysOf === undefined ? {} : { keysOf }),
    });
    process.stdout.write(`${describe(verdict, keysOf !== undefined)}\n`);
    return statuses[verdict.kind];
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? new InputError(error.message) : error;
  }
};

/** The file and, before it, those that were put aside for it. After a crash in between it may not be there itself. */
function filesOf(path: string): string[] {
  const aside = rotatedFiles(path, { readdirSync });
  return aside.length === 0 || existsSync(path) ? [...aside, path] : aside;
}

/** The keys of whichever worker a checkpoint names; undefined where none are given. @throws InputError */
function keysFrom(keyFiles: readonly string[], jwks: readonly string[]): KeysOf | undefined {
  if (keyFiles.length + jwks.length === 0) return undefined;
  const own = keyFiles.map(sealKeyFile);
  const published = jwks.flatMap(jwksFile);
  return (iss) => [...own.map((keyOf) => keyOf(iss)), ...published];
}

/** The hashes that kept checkpoints name: lines of a log, or the signed statements alone. @throws InputError */
function keptIn(paths: readonly string[], keysOf: KeysOf | undefined): Map<number, string> {
  const kept = new Map<number, string>();
  for (const path of paths) {
    const statements = readFileSync(path, 'utf8').match(/[\w-]+\.[\w-]+\.[\w-]+/g) ?? [];
    const before = kept.size;
    for (const statement of statements) {
      const claims = readCheckpoint(statement);
      if (claims === undefined) continue;
      const fault = keysOf === undefined ? null : signatureFault(statement, keysOf);
      if (fault !== null) throw new InputError(`${path}: a checkpoint is not signed with the key given (${fault})`);
      if ((kept.get(claims.sequence) ?? claims.hash) !== claims.hash) {
        throw new InputError(`${path}: two checkpoints contradict each other about entry ${claims.sequence}`);
      }
      kept.set(claims.sequence, claims.hash);
    }
    if (kept.size === before) throw new InputError(`${path}: there is no checkpoint in it`);
  }
  return kept;
}

function describe(verdict: AuditVerdict, signed: boolean): string {
  if (verdict.kind === 'tampered') {
    const { seq, detail, file, line } = verdict;
    return `tampered: seq ${seq} ${detail} (${file}, line ${line})`;
  }
  const { kind, firstSeq, lastSeq, checkpoints } = verdict;
  const entries = lastSeq === 0 ? 'no entry' : `entries ${firstSeq} to ${lastSeq}`;
  const signatures = signed ? 'their signatures hold' : 'their signatures were not checked: no --key-file, no --jwks';
  const text = `${kind}: ${entries}, ${checkpoints} checkpoints; ${signatures}`;
  return kind === 'torn' ? `${text}; a last line that was cut off follows, which the next start closes` : text;
}
