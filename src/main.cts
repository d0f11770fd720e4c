#!/usr/bin/env node
// Native calls run on libuv's pool, whose size is read once, before the first module is loaded from disk as ESM.
process.env.UV_THREADPOOL_SIZE ??= '16';

void import('./cli.js').then(({ main }) => main(process.argv.slice(2)));
