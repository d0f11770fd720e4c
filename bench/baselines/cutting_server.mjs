/** Serves ranges of the files of a folder. Below `/cut/`, it cuts each connection after 64 MiB. Arguments: port, folder. */
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';

const [port, models] = process.argv.slice(2);
const cutBytes = 64 * 2 ** 20;
let sentBytes = 0;

createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://host');
  if (pathname === '/sent') return response.writeHead(200, { connection: 'close' }).end(String(sentBytes));
  const path = join(models, basename(pathname));
  const total = statSync(path, { throwIfNoEntry: false })?.size;
  if (total === undefined) return response.writeHead(404).end();
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [0, 0, total - 1];
  const [start, end] = [Number(first), Math.min(Number(last), total - 1)];
  const isCut = pathname.startsWith('/cut/') && end - start + 1 > cutBytes;
  response.writeHead(206, {
    'content-length': end - start + 1,
    'content-range': `bytes ${start}-${end}/${total}`,
    etag: '"v1"',
  });
  const file = createReadStream(path, { start, end: isCut ? start + cutBytes - 1 : end, highWaterMark: 2 ** 20 });
  file.on('data', (chunk) => {
    sentBytes += chunk.length;
  });
  file.once('end', () => isCut && response.socket?.end());
  return file.pipe(response, { end: !isCut });
}).listen(Number(port), '127.0.0.1');
