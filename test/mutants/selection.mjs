import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { equivalents } from './equivalents.mjs';
import { mutantsOf } from './mutate.mjs';
import { targets } from './targets.mjs';

export const root = resolve(import.meta.dirname, '../..');
export const readSource = (file) => readFileSync(join(root, file), 'utf8');

/**
 * The mutants of the given places (`FILE` or `FILE:LINE`), or of all targets.
 * @param {readonly string[]} places
 * @returns {{ files: string[], mutants: object[], equivalentCount: number }}
 * @throws Error if a file or test does not exist, or an entry of `equivalents` matches no mutant
 */
export function select(places) {
  const wanted = places.map((place) => place.split(':'));
  const files = wanted.length > 0 ? [...new Set(wanted.map(([file]) => file))] : Object.keys(targets);
  for (const path of files.flatMap((file) => [file, ...(targets[file] ?? [])]))
    if (!existsSync(join(root, path))) throw new Error(`${path} does not exist: update targets.mjs`);
  for (const file of files) if (!(file in targets)) throw new Error(`${file} has no tests: add it to targets.mjs`);

  const all = files.flatMap((file) => mutantsOf(file, readSource(file)));
  const stale = equivalents.filter((entry) => files.includes(entry.file) && !all.some((one) => matches(entry, one)));
  if (stale.length > 0) throw new Error(`entries of equivalents.mjs match no mutant: ${JSON.stringify(stale)}`);

  const isWanted = ({ file, line }) =>
    wanted.length === 0 || wanted.some(([name, at]) => name === file && (at === undefined || Number(at) === line));
  const selected = all.filter(isWanted);
  const mutants = selected.filter((mutant) => !equivalents.some((entry) => matches(entry, mutant)));
  return { files, mutants, equivalentCount: selected.length - mutants.length };
}

/**
 * A random sample, the same for the same seed.
 * @param {readonly object[]} mutants @param {string} seed @param {number} limit @returns {object[]}
 */
export function sample(mutants, seed, limit) {
  const keyOf = (mutant) =>
    createHash('sha256')
      .update(JSON.stringify([seed, mutant]))
      .digest('hex');
  const keyed = mutants.map((mutant) => ({ key: keyOf(mutant), mutant }));
  const ordered = keyed.sort((a, b) => (a.key < b.key ? -1 : 1));
  return ordered.slice(0, limit).map(({ mutant }) => mutant);
}

const lineOf = ({ file, line }) => readSource(file).split('\n')[line - 1];

function matches(entry, mutant) {
  if (entry.file !== mutant.file || entry.from !== mutant.from || entry.to !== mutant.to) return false;
  return lineOf(mutant).includes(entry.line);
}
