#!/usr/bin/env node
// Native calls run on libuv's pool, whose size is read once, before the first module is loaded from disk as ESM.
process.env.UV_THREADPOOL_SIZE ??= '16';

// Node opens its debugger, and with it the worker's memory, when SIGUSR1 comes and nobody listens for it.
process.on('SIGUSR1', () => undefined);

void import('./cli.js').then(({ main }) => main(process.argv.slice(2)));
