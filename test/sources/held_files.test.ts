import { spawnSync } from 'node:child_process';
import t from 'tap';
import { maxOpenFiles } from '../../src/runtime/open_files.js';
import { HeldFiles } from '../../src/sources/held_files.js';
import type { ModelFileEntry } from '../../src/sources/model.js';
import type { RangedSource } from '../../src/sources/ranged_source.js';
import { anySignal } from '../support/http_sources.js';

const options = { signal: anySignal() };

/** Files of this host, and how often each call was made. */
function localFiles(count: number) {
  const calls = { open: 0, reopen: 0, close: 0 };
  const source = (): RangedSource => ({
    totalBytes: 1,
    etag: undefined,
    claim: undefined,
    supportsRanges: true,
    copyTo: async () => undefined,
    reopen: async () => {
      calls.reopen += 1;
      return source();
    },
    close: () => {
      calls.close += 1;
    },
  });
  const open = async (): Promise<RangedSource> => {
    calls.open += 1;
    return source();
  };
  const entry = { bytes: 1, claim: undefined, pinned: undefined, open };
  const entries: ModelFileEntry[] = Array.from({ length: count }, (_, index) => ({ ...entry, path: String(index) }));
  return { calls, entries };
}

t.test('a file is opened once, also by readers at the same time, and stays open until the end', async (t) => {
  const { calls, entries } = localFiles(1);
  const held = new HeldFiles();
  const [entry] = held.hold(entries);
  const readers = await Promise.all([entry?.open(options), entry?.open(options)]);
  t.same(calls, { open: 1, reopen: 2, close: 0 });
  for (const reader of readers) reader?.close();
  held.close();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(calls.close, 3);
  await t.rejects(async () => entry?.open(options), { code: 'INTERNAL' }, 'none is opened after the end');
  t.equal(calls.open, 1);
});

t.test('at most 512 files are held, or an eighth of the descriptors of local files', async (t) => {
  const module = new URL('../../src/sources/held_files.js', import.meta.url).pathname;
  const program = `
    import { HeldFiles } from '${module}';
    let reopened = 0;
    const open = async () => ({ close() {}, reopen: async () => (reopened++, open()) });
    for (const entry of new HeldFiles().hold(Array(600).fill({ open }))) await entry.open({});
    console.log(reopened);`;
  const heldWith = (limit: number) => {
    const script = `ulimit -n ${limit} && exec "$0" --input-type=module -e "$1"`;
    return spawnSync('bash', ['-c', script, process.execPath, program], { encoding: 'utf8' }).stdout.trim();
  };
  t.equal(heldWith(640), '14');
  if (maxOpenFiles() < 40_000) t.comment('the limit of this process is too low for more');
  else t.equal(heldWith(40_000), '512');
});
