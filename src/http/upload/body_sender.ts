import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../../config/load.js';
import { WorkerError } from '../../errors.js';
import type { Sender, UploadSink } from '../../uploads/sender.js';
import { shutDown } from '../../vram/socket.js';
import { abortOnDisconnect, probeWhileWaiting } from '../server/client_gone.js';
import { sendContinue } from '../server/http_server.js';
import { descriptorOf } from '../server/node_internals.js';
import { requestState } from '../server/request_state.js';
import { directReadOf } from './direct_read.js';
import { contendedWindowSeconds, QueuedStallTimer } from './stall_timer.js';
import { type Sink, streamBody } from './stream_body.js';

export type SenderLimits = Pick<Config, 'uploadIdleSeconds' | 'uploadMinBytesPerSecond'>;

/** Sends the body of a request to an upload, and watches the client while the body waits for a commit slot. */
export class BodySender implements Sender {
  readonly bytes: number | undefined;
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #limits: SenderLimits;
  readonly #left = new AbortController();
  #stopWaiting: () => void = () => undefined;

  constructor(request: FastifyRequest, reply: FastifyReply, limits: SenderLimits) {
    this.#request = request;
    this.#reply = reply;
    this.#limits = limits;
    const { headers } = request;
    const isChunked = headers['transfer-encoding'] !== undefined;
    this.bytes = isChunked ? undefined : Number(headers['content-length'] ?? 0);
    this.#watch();
  }

  get signal(): AbortSignal {
    return this.#left.signal;
  }

  async send(sink: UploadSink, maxBytes: number): Promise<void> {
    this.#stopWaiting();
    const { raw } = this.#request;
    const state = requestState(raw);
    sendContinue(raw, this.#reply.raw);
    const body = new CountedBody(sink, this.bytes ?? maxBytes);
    const directRead = directReadOf(raw, (descriptor) => body.receive(descriptor));
    const { uploadIdleSeconds: idleSeconds, uploadMinBytesPerSecond: minBytesPerSecond } = this.#limits;
    const contended = {
      minBytesPerSecond,
      windowSeconds: contendedWindowSeconds,
      isContended: () => sink.othersWait,
    };
    const declaredBytes = this.bytes ?? maxBytes;
    const mayEndEarly = this.bytes === undefined;
    await streamBody(raw, body, { declaredBytes, mayEndEarly, idleSeconds, contended, directRead });
    state.bodyConsumed = true;
    if (state.readDirectly) this.#reply.header('connection', 'close');
  }

  close(): void {
    const { socket } = this.#request.raw;
    const descriptor = descriptorOf(socket);
    // A native read holds a duplicate of the descriptor, which keeps the connection open.
    if (descriptor !== undefined) shutDown(descriptor);
    // Without a reset, a client that has filled the window can wait for minutes. Node cannot reset TLS.
    if ('encrypted' in socket) socket.destroy();
    else socket.resetAndDestroy();
  }

  /** The request has ended. */
  stop(): void {
    this.#stopWaiting();
  }

  #watch(): void {
    const disconnect = abortOnDisconnect(this.#reply);
    const leave = () => this.#left.abort(disconnect.reason);
    if (disconnect.aborted) leave();
    else disconnect.addEventListener('abort', leave);
    const stallTimer = new QueuedStallTimer(this.#request.raw, this.#limits.uploadIdleSeconds, (detail) => {
      this.#left.abort(new WorkerError('UPLOAD_TIMEOUT', detail));
    });
    const waiting = new Promise<void>((resolve) => {
      this.#stopWaiting = resolve;
    });
    void probeWhileWaiting(this.#reply, waiting).finally(() => stallTimer.stop());
  }
}

/** A sink that never reads beyond the body, because the next request of the client may follow. */
class CountedBody implements Sink {
  readonly #sink: UploadSink;
  #remainingBytes: number;

  constructor(sink: UploadSink, bytes: number) {
    this.#sink = sink;
    this.#remainingBytes = bytes;
  }

  get signal(): AbortSignal {
    return this.#sink.signal;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#remainingBytes -= chunk.length;
    return this.#sink.write(chunk);
  }

  async receive(descriptor: number): Promise<number> {
    const bytes = await this.#sink.receive(descriptor, this.#remainingBytes);
    this.#remainingBytes -= bytes;
    return bytes;
  }
}
