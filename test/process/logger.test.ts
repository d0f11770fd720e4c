import type { write } from 'node:fs';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { Registry } from 'prom-client';
import t from 'tap';
import { DroppedLines } from '../../src/http/plugins/dropped_lines.js';
import { requestLogger } from '../../src/http/plugins/logging.js';
import { requestState } from '../../src/http/server/request_state.js';
import { createLogger, LogStream } from '../../src/process/logger.js';
import { Output } from '../../src/process/output.js';
import { until } from '../support/until.js';

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

t.test('requests without a valid token write 20 lines a second, and the others are counted', async (t) => {
  const { stream, dropped, lines } = memoryLog();
  const logger = createLogger('info', stream);
  const registry = new Registry();
  dropped.register(registry);
  stream.reportTo(logger);
  const log = (isAuthenticated: boolean) => {
    const request = new IncomingMessage(new Socket());
    requestState(request).isAuthenticated = isAuthenticated;
    requestLogger(logger, { request_id: 'r' }, {}, request).info({ code: isAuthenticated ? 'yes' : 'no' }, 'request');
  };
  // All lines belong to one second, however slow the machine is.
  const startMs = performance.now();
  const clock = t.intercept(performance, 'now', { value: () => startMs, configurable: true });
  for (let n = 0; n < 40; n++) {
    log(false);
    log(true);
  }
  clock.restore();
  const count = (code: string) => lines().filter((line) => line.code === code).length;
  await until(() => count('yes') === 40);
  t.equal(count('no'), 20);
  await until(() => lines().some(({ msg }) => msg === 'log lines were dropped'));
  const report = lines().find(({ msg }) => msg === 'log lines were dropped');
  t.same(report?.dropped, { unauthenticated: 20, request: 0, worker: 0, error: 0 });
  t.match(await registry.metrics(), 'vram_log_lines_dropped_total{kind="unauthenticated"} 20');
});

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
