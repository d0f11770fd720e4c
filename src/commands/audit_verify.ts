import { existsSync, readFileSync } from 'node:fs';
import { type KeysOf, readCheckpoint, signatureFault } from '../audit/checkpoint.js';
import { rotatedFiles } from '../audit/log/rotation.js';
import { type AuditVerdict, verifyLog } from '../audit/verify/verify_log.js';
import { nodeFileSystem } from '../storage/fs.js';
import { parseArguments, strings } from './arguments.js';
import { type DocumentedCommand, InputError, UsageError } from './command.js';
import { auditVerifyHelp } from './help.js';
import { jwksFile, sealKeyFile } from './key_files.js';

/** The exit statuses of `audit verify`. */
const statuses: Readonly<Record<AuditVerdict['kind'], number>> = { whole: 0, tampered: 1, torn: 3, empty: 4 };

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, { checkpoint: strings, 'key-file': strings, jwks: strings });
  const [only] = positionals;
  if (only === undefined) throw new UsageError('audit verify needs a log file');
  try {
    const keysOf = keysFrom(values['key-file'] ?? [], values.jwks ?? []);
    const verdict = verifyLog(positionals.length === 1 ? await filesOf(only) : positionals, {
      kept: keptIn(values.checkpoint ?? [], keysOf),
      ...(keysOf === undefined ? {} : { keysOf }),
    });
    process.stdout.write(`${describe(verdict, keysOf !== undefined)}\n`);
    return statuses[verdict.kind];
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? new InputError(error.message) : error;
  }
}

/**
 * `vram-worker audit verify FILE... [--checkpoint FILE] [--key-file FILE] [--jwks FILE]`: verifies an audit log. One
 * file includes the rotated files next to it; several files are read in the given order. A log outlives its keys, so
 * there may be several: one of them must have signed each checkpoint.
 */
export const auditVerify: DocumentedCommand = { run, help: auditVerifyHelp };

/** The rotated files and then the file itself, which does not exist after a crash during a rotation. */
async function filesOf(path: string): Promise<string[]> {
  const rotated = await rotatedFiles(path, nodeFileSystem);
  return rotated.length === 0 || existsSync(path) ? [...rotated, path] : rotated;
}

/** The keys for each worker id; undefined if no key is given. @throws InputError */
function keysFrom(keyFiles: readonly string[], jwks: readonly string[]): KeysOf | undefined {
  if (keyFiles.length + jwks.length === 0) return undefined;
  const own = keyFiles.map(sealKeyFile);
  const published = jwks.flatMap(jwksFile);
  return (iss) => [...own.map((keyOf) => keyOf(iss)), ...published];
}

/** The hash of each entry that a kept checkpoint names. A file holds lines of a log, or bare JWS. @throws InputError */
function keptIn(paths: readonly string[], keysOf: KeysOf | undefined): Map<number, string> {
  const kept = new Map<number, string>();
  for (const path of paths) {
    const statements = readFileSync(path, 'utf8').match(/[\w-]+\.[\w-]+\.[\w-]+/g) ?? [];
    const before = kept.size;
    for (const statement of statements) {
      const claims = readCheckpoint(statement);
      if (claims === undefined) continue;
      const fault = keysOf === undefined ? null : signatureFault(statement, keysOf);
      if (fault !== null)
        throw new InputError(`${path} has a checkpoint that is not signed with a given key (${fault})`);
      if ((kept.get(claims.sequence) ?? claims.hash) !== claims.hash) {
        throw new InputError(`${path} has two checkpoints that contradict each other about entry ${claims.sequence}`);
      }
      kept.set(claims.sequence, claims.hash);
    }
    if (kept.size === before) throw new InputError(`${path} has no checkpoint`);
  }
  return kept;
}

function describe(verdict: AuditVerdict, areSignaturesVerified: boolean): string {
  if (verdict.kind === 'tampered') {
    const { seq, detail, file, line } = verdict;
    return `tampered: entry ${seq} ${detail} (${file}, line ${line}).`;
  }
  if (verdict.kind === 'empty')
    return 'empty: no entry, so nothing was verified. A worker writes an entry when it starts.';
  const { kind, firstSeq, lastSeq, checkpoints } = verdict;
  const entries = lastSeq === 0 ? 'no entries' : `entries ${firstSeq} to ${lastSeq}`;
  const count = checkpoints === 1 ? '1 checkpoint' : `${checkpoints} checkpoints`;
  const text = `${kind}: ${entries}, ${count}. ${signatureText(checkpoints, areSignaturesVerified)}`;
  return kind === 'torn'
    ? `${text} The last line is incomplete: the worker removes and records it at its next start.`
    : text;
}

function signatureText(checkpoints: number, areSignaturesVerified: boolean): string {
  if (checkpoints === 0) return 'Without a checkpoint, no signature was verified.';
  if (!areSignaturesVerified) return 'Checkpoint signatures were not verified: use --key-file or --jwks.';
  return 'Checkpoint signatures are valid.';
}
