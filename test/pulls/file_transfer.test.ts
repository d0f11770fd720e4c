import t from 'tap';
import { FileTransfer } from '../../src/pulls/file_transfer.js';
import { Pull } from '../../src/pulls/pull.js';
import { PullFile } from '../../src/pulls/pull_file.js';
import type { TransferOptions } from '../../src/sources/egress/request.js';
import type { ModelFileEntry } from '../../src/sources/model.js';
import { availableBytes } from '../support/requests.js';
import { admit, contents } from '../support/shard_groups.js';
import { startWorker } from '../support/worker.js';

const failed = new Error('another file failed');

/** A file of a source that does not answer. `opened` resolves when the worker asks for it. */
function silentFile() {
  let begin: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const open = ({ signal }: TransferOptions) => {
    begin();
    return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  const entry: ModelFileEntry = { path: 'm', bytes: contents[0].length, claim: undefined, pinned: undefined, open };
  return { entry, opened };
}

t.test('a file that is being opened ends with its group, not with the time limit of its source', async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const group = admit(worker);
  const pull = new Pull({
    ...{ pullId: 'p', source: { type: 'file', path: 'm' }, shardIdPrefix: 'm', digest: 'allow', formatCheck: 'off' },
    ...{ expected: new Map(), expectedTree: new Map(), flatDigest: true, bytesPerSecond: 0, deadlineSeconds: 60 },
  });
  const digests = { expectedDigest: undefined, expectedTreeDigest: undefined };
  const file = new PullFile({ path: 'm', shardId: 'm-0', bytes: contents[0].length, ...digests });
  const { entry, opened } = silentFile();
  const options = () => ({ signal: new AbortController().signal });
  const transfer = new FileTransfer({ pull, file, entry, group, index: 0, options });
  const rejected = t.rejects(transfer.run(), failed);
  await opened;
  await group.abort(failed);
  await rejected;
  t.equal(transfer.failure, undefined, 'the file itself did not fail');
  t.same(await availableBytes(worker), before);
});
