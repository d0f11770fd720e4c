export { attach, connect } from './attach/attach.js';
export type { AttachClient, AttachedWorker } from './attach/attach_client.js';
export { AttachError, type AttachStatus } from './attach/attach_error.js';
export type { AttachEvent, AttachEventType } from './attach/attach_event.js';
export type { AttachRequest, ConnectOptions } from './attach/attach_options.js';
export type { Lease, LeaseState } from './attach/lease.js';
export type { components, operations, paths, UploadBody } from './http/api.js';
export { ApiError, type ErrorCode, type Problem } from './http/api_error.js';
export { type RequestOptions, WorkerClient, type WorkerClientOptions } from './http/worker_client.js';
