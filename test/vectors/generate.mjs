// Writes tree.tsv: what independent tools say about known bytes. SHA-256 by OpenSSL, the tree by `fsverity digest`
// (Debian package fsverity). Run it again only to add lengths: node generate.mjs
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const block = 4096;
const group = 128 * block;
const lengths = [0, 1, 100];
for (const blocks of [1, 2, 3, 127, 128, 129]) lengths.push(blocks * block - 1, blocks * block, blocks * block + 1);
for (const groups of [2, 3]) {
  const bytes = groups * group;
  lengths.push(bytes - block, bytes - 1, bytes, bytes + 1, bytes + block);
}
const twoLevels = 128 * group;
lengths.push(twoLevels - block, twoLevels - 1, twoLevels, twoLevels + 1, twoLevels + block);
lengths.push(
  1_048_577,
  1_299_709,
  1_953_125,
  2_222_333,
  3_141_592,
  4_194_303,
  4_782_969,
  5_764_801,
  6_700_417,
  7_540_113,
  8_388_609,
  9_765_625,
  10_604_499,
  11_390_625,
  12_345_678,
  13_466_917,
  14_348_907,
  15_485_863,
  17_210_368,
  20_971_519,
);

/** Byte i is the top byte of x(i+1), where x(0) = 1 and x(i+1) = x(i) * 1664525 + 1013904223 mod 2^32. */
function content(bytes) {
  const data = Buffer.alloc(bytes);
  for (let i = 0, x = 1; i < bytes; i += 1) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    data[i] = x >>> 24;
  }
  return data;
}

const sorted = [...new Set(lengths)].sort((a, b) => a - b);
const all = content(sorted.at(-1) ?? 0);
const directory = mkdtempSync(join(tmpdir(), 'tree-vectors-'));
const rows = sorted.map((length) => {
  const file = join(directory, 'content');
  writeFileSync(file, all.subarray(0, length));
  const flat = execFileSync('openssl', ['dgst', '-sha256', '-r', file], { encoding: 'utf8' }).split(' ')[0];
  const tree = execFileSync('fsverity', ['digest', '--compact', file], { encoding: 'utf8' }).trim();
  return `${length}\t${flat}\t${tree}\n`;
});
rmSync(directory, { recursive: true });

const header = `# Digests of the first N bytes of one sequence: byte i is x(i+1) >> 24, where x(0) = 1 and
# x(i+1) = x(i) * 1664525 + 1013904223 mod 2^32. Written by generate.mjs.
# length\tsha256 (openssl dgst)\tfs-verity digest (fsverity digest)
`;
writeFileSync(new URL('tree.tsv', import.meta.url), header + rows.join(''));
