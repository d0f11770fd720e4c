import type { PullFields, PullJson, PullListJson, PullSummaryJson } from '../schemas/pull.js';

/** A commit of the hub. A branch could name other files tomorrow. */
export const revision = '4e4b0bd5d22b9e0d6a2b7a8e4b2a2a5d1f0c9e8d';
export const pinnedModelRef = `hf://ggml-org/tinygemma3-GGUF@${revision}`;

const pullRequest: PullFields = {
  pull_id: 'tiny-2026-01',
  source: { type: 'hf', name: 'hub', repo: 'ggml-org/tinygemma3-GGUF', revision, quantization: 'Q8_0' },
  shard_id_prefix: 'tiny',
};

const pullSummary: PullSummaryJson = {
  pull_id: 'tiny-2026-01',
  state: 'receiving',
  model_ref: pinnedModelRef,
  shard_id_prefix: 'tiny',
  bytes: 47227616,
  received_bytes: 16777216,
  fetched_bytes: 16777216,
  bytes_per_second: 33554432,
  remaining_seconds: 1,
  created_at: '2026-01-05T10:00:00.000Z',
  ended_at: null,
  problem: null,
};

const pull: PullJson = {
  ...pullSummary,
  last_problem: null,
  resolved: {
    model_ref: pinnedModelRef,
    immutable: true,
    skipped: ['README.md'],
  },
  files: [
    {
      path: 'tinygemma3-Q8_0.gguf',
      shard_id: 'tiny-0',
      state: 'receiving',
      bytes: 47227616,
      received_bytes: 16777216,
      attempts: 1,
      last_problem: null,
    },
  ],
};

const sealedPull: PullJson = {
  ...pull,
  state: 'sealed',
  received_bytes: 47227616,
  fetched_bytes: 47227616,
  bytes_per_second: 0,
  remaining_seconds: null,
  ended_at: '2026-01-05T10:00:02.000Z',
  files: pull.files.map((file) => ({ ...file, state: 'sealed', received_bytes: 47227616 })),
};

const pulls: PullListJson = { pulls: [pullSummary], next_cursor: null };

const pullEvents = `event: snapshot\ndata: ${JSON.stringify(pull)}\n\nevent: end\ndata: ${JSON.stringify(sealedPull)}\n\n`;

/** Examples of the operations on pulls. */
export const pullExamples = {
  startPull: { request: pullRequest, responses: { 200: sealedPull, 202: pull } },
  listPulls: { responses: { 200: pulls } },
  getPull: { responses: { 200: pull } },
  cancelPull: { responses: { 202: pull } },
  watchPull: { responses: { 200: pullEvents } },
};
