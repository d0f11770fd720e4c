import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HostFiles } from '../../../src/residency/source/host_files.js';
import { readRange } from '../../../src/sources/read_range.js';
import { Driver } from '../../../src/vram/driver.js';
import { patternBytes } from '../../support/bytes.js';
import { driverOptions } from '../../support/driver_options.js';
import { anySignal, MemorySink } from '../../support/http_sources.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

const content = patternBytes(3_000_000);

/** A model directory that is laid out as the Hugging Face cache. */
async function hostFiles(t: Test): Promise<{ readonly files: HostFiles; readonly modelDir: string }> {
  const modelDir = temporaryDirectory(t);
  mkdirSync(join(modelDir, 'snapshots/abc'), { recursive: true });
  mkdirSync(join(modelDir, 'blobs'));
  writeFileSync(join(modelDir, 'blobs/0123'), content);
  symlinkSync('../../blobs/0123', join(modelDir, 'snapshots/abc/model.gguf'));
  symlinkSync('/etc', join(modelDir, 'outside'));
  const driver = await Driver.open(driverOptions(t));
  t.teardown(() => driver.close());
  return { files: new HostFiles({ driver, options: { modelDir } }), modelDir };
}

t.test('a local file is a source of ranges', async (t) => {
  const { files } = await hostFiles(t);
  const source = await files.open('model_dir', 'snapshots/abc/model.gguf', anySignal());
  t.teardown(() => source.close());
  t.equal(source.totalBytes, content.length);
  const sink = new MemorySink();
  await source.copyTo(sink, { offset: 0, length: content.length }, { signal: anySignal() });
  t.ok(sink.content.equals(content), 'the whole file');
  const part = await readRange(source, { offset: 2_000_001, length: 999_999 }, { signal: anySignal() });
  t.ok(part.equals(content.subarray(2_000_001)), 'its end');
});

t.test('a file that changes while it is read fails', async (t) => {
  const { files, modelDir } = await hostFiles(t);
  const source = await files.open('model_dir', 'blobs/0123', anySignal());
  t.teardown(() => source.close());
  writeFileSync(join(modelDir, 'blobs/0123'), content.subarray(1));
  await t.rejects(readRange(source, { offset: 0, length: 10 }, { signal: anySignal() }), { code: 'LENGTH_MISMATCH' });
});

t.test('links, folders and small texts are read, none of them outside the directory', async (t) => {
  const { files, modelDir } = await hostFiles(t);
  writeFileSync(join(modelDir, 'ref'), 'abc');
  const signal = anySignal();
  t.equal(await files.readLink('model_dir', 'snapshots/abc/model.gguf', signal), '../../blobs/0123');
  t.equal(await files.readLink('model_dir', 'blobs/0123', signal), undefined, 'a file is no link');
  t.equal(await files.readText('model_dir', 'ref', 3, signal), 'abc');
  const paths = ['blobs/0123', 'outside', 'ref', 'snapshots/abc/model.gguf'];
  t.strictSame(await files.list('model_dir', '', 16, signal), paths);
  t.strictSame(await files.list('model_dir', 'snapshots', 16, signal), ['abc/model.gguf']);
  await t.rejects(files.readText('model_dir', 'ref', 2, signal), { code: 'INVALID_PARAMS' });
  await t.rejects(files.list('model_dir', '', 2, signal), { code: 'INVALID_PARAMS' });
  await t.rejects(files.list('model_dir', 'outside', 16, signal), { code: 'INVALID_PARAMS' });
  await t.rejects(files.readLink('model_dir', 'outside/mtab', signal), { code: 'INVALID_PARAMS' });
  await t.rejects(files.list('model_dir', 'none', 16, signal), { code: 'NOT_FOUND' });
  await t.rejects(files.list('hf_cache', '', 16, signal), { code: 'INVALID_PARAMS', message: /WORKER_HF_CACHE_DIR/ });
});
