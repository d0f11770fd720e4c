/**
 * Mutants that no test can notice, and why. Each names a line by a part of it, and what becomes of what; one that matches
 * no mutant fails the run, so that the list does not outlive the code.
 */
const jws = 'src/seal/jws.ts';
const auth = 'src/http/plugins/auth.ts';
const allOrNone = 'The pattern matches all three parts or none, and a header that is not there decodes to none.';
const rotation = 'src/residency/handle/key_rotation.ts';
const appendFile = 'src/audit/log/append_file.ts';
const entry = 'src/audit/entry.ts';
const log = 'src/audit/log/log.ts';
const audit = 'src/audit/writer.ts';
const nothingToWrite = 'Where nothing waits, nothing is written, just before the checkpoint that opens the same file.';
const decoration = 'Fastify is told the shape of a request for speed; each request is given both before they are read.';

export const equivalents = [
  { file: jws, line: 'header === undefined', from: '||', to: '&&', why: allOrNone },
  {
    file: jws,
    line: 'header === undefined',
    from: 'header === undefined || payload === undefined || signature === undefined',
    to: 'false',
    why: allOrNone,
  },
  {
    file: rotation,
    line: 'this.#inventory.changed();',
    from: 'this.#inventory.changed();',
    to: ';',
    why: 'Each new handle is told of as well; where there is none, pollers see nothing of a key.',
  },
  {
    file: rotation,
    line: 'if (seal === undefined) return [];',
    from: 'seal === undefined',
    to: 'false',
    why: 'It is asked of sealed shards alone, and those have a seal; what the type allows never is.',
  },
  {
    file: appendFile,
    line: 'this.#regularBytes() > this.#bytes',
    from: '>',
    to: '>=',
    why: 'Cutting a file to the length that it has changes nothing.',
  },
  {
    file: entry,
    line: 'ending.exec(line.toString(',
    from: 'max',
    to: 'min',
    why: 'The whole line is read instead of its end; what the pattern matches stands at the end all the same.',
  },
  {
    file: audit,
    line: "throw new Error('the audit log is not open')",
    from: 'this.#log === undefined',
    to: 'false',
    why: 'What is not there fails at its first use, in the same place and to the same end.',
  },
  {
    file: 'src/audit/verify/verify_log.ts',
    line: 'return done === true ? undefined : value;',
    from: 'done === true',
    to: 'false',
    why: 'What a generator that has ended gives is undefined as well; the type does not know it.',
  },
  {
    file: 'src/audit/log/rotation.ts',
    line: '.sort((a, b) =>',
    from: '<',
    to: '<=',
    why: 'No two files of a directory have one name.',
  },
  {
    file: appendFile,
    line: 'stat.isFile() ? stat.size : 0',
    from: 'stat.isFile()',
    to: 'true',
    why: 'What can be opened for writing and is no file has the size 0.',
  },
  {
    file: audit,
    line: 'if (this.#waiting.length > 0 || !this.#writable)',
    from: 'this.#waiting.length > 0 || !this.#writable',
    to: 'true',
    why: nothingToWrite,
  },
  {
    file: audit,
    line: 'if (this.#waiting.length > 0 || !this.#writable)',
    from: '>',
    to: '>=',
    why: nothingToWrite,
  },
  {
    file: log,
    line: '  #unended = false;',
    from: 'false',
    to: 'true',
    why: 'It is set when a file is opened, and read only afterwards.',
  },
  {
    file: auth,
    line: "app.decorateRequest('tokenFingerprint', '');",
    from: "app.decorateRequest('tokenFingerprint', '');",
    to: ';',
    why: decoration,
  },
  {
    file: auth,
    line: "app.decorateRequest('role', undefined);",
    from: "app.decorateRequest('role', undefined);",
    to: ';',
    why: decoration,
  },
];
