import { StringDecoder } from 'node:string_decoder';

/** One event of a stream. */
export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/** More than an event with a pull of 1024 files. */
const maxEventCharacters = 16 * 1024 ** 2;

/** Reads the events of `text/event-stream` (WHATWG HTML §9.2). Comments, ids and retry times are skipped. */
export async function* readEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  let event = '';
  let data: string[] = [];
  for await (const line of linesOf(chunks)) {
    if (line === '') {
      if (data.length > 0) yield { event: event || 'message', data: data.join('\n') };
      event = '';
      data = [];
      continue;
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
  }
}

/** Lines end in LF, CR or CRLF. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let isFirst = true;
  for await (const chunk of chunks) {
    rest += decoder.write(Buffer.from(chunk));
    if (isFirst) rest = rest.replace(/^\ufeff/, '');
    isFirst = false;
    if (rest.length > maxEventCharacters) throw new Error('an event is too long');
    for (;;) {
      // A CR at the end may be half of a CRLF.
      const end = /\r\n|\n|\r(?!$)/.exec(rest);
      if (end === null) break;
      yield rest.slice(0, end.index);
      rest = rest.slice(end.index + end[0].length);
    }
  }
}
