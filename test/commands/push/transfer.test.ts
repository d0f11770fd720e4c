import t from 'tap';
import { FilesProgress } from '../../../src/commands/push/transfer.js';
import type { Progress } from '../../../src/commands/terminal/progress.js';

const mebibyte = 1024 ** 2;
const files = ['a', 'b'].map((name) => ({ path: name, name, bytes: 1000 * mebibyte }));

/** Collects what the progress of a pass shows. Time passes only when the test moves it. */
function watched(pass: 'hashing' | 'sending') {
  const shown: Progress[] = [];
  const clock = { nowMs: 0 };
  const reporter = { show: (next: Progress) => void shown.push(next), note: () => undefined, stop: () => undefined };
  return { shown, clock, progress: new FilesProgress(pass, files, reporter, () => clock.nowMs) };
}

t.test('progress is reported ten times a second, whatever the number of chunks', async (t) => {
  const { shown, clock, progress } = watched('hashing');
  for (let count = 1; count <= 1000; count += 1) progress.at(0, count * mebibyte);
  t.equal(shown.length, 1);
  clock.nowMs = 100;
  progress.at(1, 5 * mebibyte);
  t.match(shown[1], { receivedBytes: 1005 * mebibyte, files: [{ state: 'done' }, { state: 'active' }] });
  progress.at(1, 6 * mebibyte);
  progress.end('hashing');
  t.equal(shown.length, 3);
  t.match(shown[2], { receivedBytes: 2000 * mebibyte, files: [{ state: 'done' }, { state: 'done' }] });
});

t.test('a file that was sent is reported at once, because the worker then seals it', async (t) => {
  const { shown, progress } = watched('sending');
  progress.at(0, 999 * mebibyte);
  progress.at(0, 1000 * mebibyte);
  t.match(
    shown.map(({ receivedBytes }) => receivedBytes),
    [999 * mebibyte, 1000 * mebibyte],
  );
});
