import type { write } from 'node:fs';
import t from 'tap';
import { DroppedLines } from '../../src/http/plugins/dropped_lines.js';
import { createLogger, LogStream } from '../../src/process/logger.js';
import { Output } from '../../src/process/output.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';

/** A log that is kept in memory while `isOpen` is true, and otherwise waits. */
function memoryLog() {
  const state = { text: '', isOpen: true };
  type Done = (error: NodeJS.ErrnoException | null, written: number) => void;
  const fake = (_fd: number, bytes: Buffer, _offset: number, length: number, _position: null, done: Done) => {
    if (!state.isOpen) return void setImmediate(done, Object.assign(new Error('full'), { code: 'ENOSPC' }), 0);
    state.text += bytes.toString();
    setImmediate(done, null, length);
  };
  const dropped = new DroppedLines();
  const output = new Output(1, fake as unknown as typeof write, { full: 1, failed: 1 });
  const stream = new LogStream(output, dropped);
  const lines = (): Record<string, unknown>[] =>
    state.text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return { state, stream, dropped, lines };
}

t.test(
  'requests without a valid token write 20 lines a second, and a later line has the number of the others',
  async (t) => {
    const { stream, dropped, lines } = memoryLog();
    const logger = createLogger('info', stream);
    const { inject } = await startWorker(t, { stream, droppedLines: dropped });
    stream.reportTo(logger);
    const authorization = 'Bearer wrong';
    for (let n = 0; n < 40; n++) await inject({ url: '/v1/devices', headers: { authorization } });
    for (let n = 0; n < 40; n++) await inject({ url: '/v1/devices' });
    const requests = () => lines().filter(({ msg }) => msg === 'request');
    const statusOf = (line: Record<string, unknown>) => (line.res as { status: number }).status;
    await until(() => requests().filter((line) => statusOf(line) === 200).length === 40);
    const refused = requests().filter((line) => statusOf(line) !== 200).length;
    t.ok(refused >= 20 && refused < 40, `${refused} lines`);
    await until(() => lines().some(({ msg }) => msg === 'log lines were dropped'));
    const report = lines().find(({ msg }) => msg === 'log lines were dropped');
    t.same(report?.dropped, { unauthenticated: 40 - refused, request: 0, worker: 0, error: 0 });
    const { payload } = await inject({ url: '/metrics' });
    t.match(payload, `vram_log_lines_dropped_total{kind="unauthenticated"} ${40 - refused}`);
  },
);

t.test('the number of dropped lines is logged when the log can be written again', async (t) => {
  const { state, stream, lines } = memoryLog();
  const logger = createLogger('info', stream);
  stream.reportTo(logger);
  state.isOpen = false;
  logger.info('first');
  for (let n = 0; n < 1100; n++) logger.info({ detail: 'x'.repeat(1000) }, 'worker');
  logger.error('an error');
  state.isOpen = true;
  await until(() => lines().some(({ msg }) => msg === 'log lines were dropped'));
  t.match(lines().at(-1)?.dropped, { worker: Number, error: 0 });
  t.equal(lines()[0]?.msg, 'first');
  t.ok(lines().some(({ msg }) => msg === 'an error'));
  const written = lines().filter(({ msg }) => msg === 'worker').length;
  const { worker } = { worker: 0, ...(lines().at(-1)?.dropped ?? {}) };
  t.equal(written + worker, 1100, 'each line is written or counted');
});

t.test('the text of a line has no absolute path', async (t) => {
  const { stream, lines } = memoryLog();
  const logger = createLogger('info', stream);
  logger.warn("cannot open '/etc/secret dir/token': see http://127.0.0.1:8001/docs");
  await until(() => lines().length === 1);
  t.equal(lines()[0]?.msg, 'cannot open <path>: see http://127.0.0.1:8001/docs');
});
