#!/usr/bin/env node
import os = require('node:os');
import signalsModule = require('./process/signals.cjs');

// Native calls run in libuv's thread pool. Node reads its size once, before it loads the first ES module. Calls that hang
// occupy at most 12 threads: for standard output, the audit log and its reader, the manifest, its group hashes, the node
// features file, and six groups of reloaded files.
// Sockets that are read natively occupy 8, and the poller one. Each range of a shard that is read occupies one, so a host with
// many cores and disks needs more.
const poolThreads = Math.min(64, 2 * os.availableParallelism());
process.env.UV_THREADPOOL_SIZE = String(Math.max(24, poolThreads, Number(process.env.UV_THREADPOOL_SIZE) || 0));

// Without a listener, SIGUSR1 would start Node's debugger, which exposes the worker's memory.
process.on('SIGUSR1', () => undefined);
// Other commands end at a signal, as usual.
const [, , command, ...options] = process.argv;
const isKeeper = command === 'keep' && !options.includes('--list') && !options.includes('--drop');
if (command === 'serve' || isKeeper) signalsModule.signals.install();

const isOffline = command === 'handle' || command === 'audit';
void (isOffline ? import('./cli/offline_commands.js') : import('./cli/worker_commands.js')).then(({ main }) =>
  main(process.argv.slice(2)),
);
