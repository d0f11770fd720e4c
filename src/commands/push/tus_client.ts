import { createReadStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { messageOf } from '../../errors.js';
import { PeerError } from '../client/client_error.js';
import type { WorkerClient, WorkerRequest } from '../client/worker_client.js';
import { InputError } from '../command.js';
import { type LocalFile, readBytes } from './file_digest.js';

/** Where an upload is. */
export interface UploadState {
  readonly offset: number;
  /** The worker has sealed the shard. */
  readonly isSealed: boolean;
}

export interface CreatedUpload extends UploadState {
  readonly uploadId: string;
}

/** The fields of a commit. */
export type CommitFields = Readonly<Record<string, string | number | undefined>>;

/** The worker may wait for a slot, and seals the shard before it answers the last request. */
const patchIdleMs = 120_000;

const tus = { 'tus-resumable': '1.0.0' };

/** The requests of an upload over tus 1.0. All of them may be repeated. */
export class TusClient {
  readonly #client: WorkerClient;
  readonly #signal: AbortSignal;

  constructor(client: WorkerClient, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  /** Creates the upload, or finds the open one of the same request. */
  async create(bytes: number, query: CommitFields): Promise<CreatedUpload> {
    const headers = { ...tus, 'upload-length': bytes, 'content-length': 0 };
    const answer = await this.#client.ask(this.#request({ method: 'POST', path: 'v1/uploads', query, headers }));
    // Behind a proxy the path of the header may lack a prefix, so only its end counts.
    const [, uploadId] = /\/v1\/uploads\/([A-Za-z0-9-]{1,64})$/.exec(answer.headers.location ?? '') ?? [];
    if (uploadId === undefined) throw new PeerError('the worker sent no Location of the upload');
    const offset = Number(answer.headers['upload-offset'] ?? 0);
    return { uploadId, offset, isSealed: offset === bytes };
  }

  /** Asks the worker where the upload is. @throws the problem of an upload that failed */
  async state(uploadId: string, bytes: number): Promise<UploadState> {
    try {
      const response = await this.#client.open(
        this.#request({ method: 'HEAD', path: pathOf(uploadId), headers: { ...tus } }),
      );
      response.resume();
      return stateOf(response.headers);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      // A response to HEAD has no body. The outcome has the problem.
      await this.outcome(uploadId);
      return { offset: bytes, isSealed: true };
    }
  }

  /**
   * Sends the rest of the file. `onBytes` gets the offset of what was sent.
   * @throws InputError if the file cannot be read, and the errors of a request
   */
  async send(
    uploadId: string,
    file: LocalFile,
    offset: number,
    onBytes: (offset: number) => void,
  ): Promise<UploadState> {
    const body = restOf(file, offset);
    let sent = offset;
    const counter = new Transform({
      highWaterMark: readBytes,
      transform(chunk: Buffer, _, done) {
        sent += chunk.length;
        onBytes(sent);
        done(null, chunk);
      },
      // A request that is too short would wait for the worker.
      flush: (done) => done(sent === file.bytes ? null : new InputError(`${file.path} changed while it was read`)),
    });
    body.on('error', (error) => counter.destroy(new InputError(messageOf(error))));
    counter.on('close', () => body.destroy());
    const headers = {
      ...tus,
      'content-type': 'application/offset+octet-stream',
      'content-length': file.bytes - offset,
      'upload-offset': offset,
    };
    const request = { method: 'PATCH', path: pathOf(uploadId), headers, body: body.pipe(counter) } as const;
    const answer = await this.#client.ask(this.#request({ ...request, idleMs: patchIdleMs }));
    return stateOf(answer.headers);
  }

  /** The answer of the commit. */
  async outcome(uploadId: string): Promise<unknown> {
    return (await this.#client.ask(this.#request({ method: 'GET', path: pathOf(uploadId), idleMs: patchIdleMs }))).body;
  }

  /** Ends the upload, which frees its memory. It ignores the signal, which may be the cause. */
  async end(uploadId: string): Promise<void> {
    await this.#client.ask({ method: 'DELETE', path: pathOf(uploadId), headers: { ...tus } });
  }

  #request(request: WorkerRequest): WorkerRequest {
    return { ...request, signal: this.#signal };
  }
}

const pathOf = (uploadId: string): string => `v1/uploads/${uploadId}`;

/** Nothing after the last byte: a request without bytes waits for the seal. */
const restOf = ({ path, bytes }: LocalFile, offset: number): Readable =>
  offset === bytes
    ? Readable.from([])
    : createReadStream(path, { start: offset, end: bytes - 1, highWaterMark: readBytes });

function stateOf(headers: NodeJS.Dict<string | string[]>): UploadState {
  const offset = Number(headers['upload-offset']);
  if (!Number.isSafeInteger(offset)) throw new PeerError('the worker sent no Upload-Offset');
  return { offset, isSealed: headers.location !== undefined };
}
