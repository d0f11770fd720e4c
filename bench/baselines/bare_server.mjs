/** A bare Node HTTP server: counts and discards the bytes of a body, and responds with the count. */
import { createServer } from 'node:http';

createServer((request, response) => {
  let bytes = 0;
  request.on('data', (chunk) => {
    bytes += chunk.length;
  });
  request.on('end', () => response.end(String(bytes)));
}).listen(Number(process.argv[2]), '127.0.0.1');
