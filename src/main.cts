#!/usr/bin/env node
import signalsModule = require('./process/signals.cjs');

// Native calls run in libuv's thread pool. Node reads its size once, before it loads the first ES module.
process.env.UV_THREADPOOL_SIZE ??= '16';

// Without a listener, SIGUSR1 would start Node's debugger, which exposes the worker's memory.
process.on('SIGUSR1', () => undefined);
// Other commands end at a signal, as usual.
if (process.argv[2] === 'serve') signalsModule.signals.install();

void import('./cli.js').then(({ main }) => main(process.argv.slice(2)));
