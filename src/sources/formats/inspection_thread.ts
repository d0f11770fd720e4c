/**
 * The entry of an inspection thread. It reads headers off the event loop: those of 64 MiB take seconds. The memory and
 * the life of the thread have a bound, so a hostile header cannot stop the worker.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { InspectionMessage, InspectionResult, InspectionTask } from './inspection.js';
import type { FileRange } from './model.js';
import { checkIndex, checkModel } from './model_check.js';

function* inspect(task: InspectionTask): Generator<FileRange, InspectionResult, Uint8Array> {
  if (task.kind === 'index') {
    const names = yield* checkIndex(task.index, task.headerBytes);
    return 'rule' in names ? { fault: names } : { names };
  }
  const formats = yield* checkModel(task.model, task.headerBytes);
  return 'rule' in formats ? { fault: formats } : { formats };
}

function answer(step: IteratorResult<FileRange, InspectionResult>): void {
  const message: InspectionMessage = step.done ? { result: step.value } : { read: step.value };
  parentPort?.postMessage(message);
}

const reading = inspect(workerData as InspectionTask);
parentPort?.on('message', (bytes: Uint8Array) => answer(reading.next(bytes)));
answer(reading.next());
