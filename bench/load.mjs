import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.mjs';

const connections = 10;

/**
 * Closed loop: ten connections send the same request, each as soon as it has the previous response.
 * @param {string} url @param {string} request @param {number} seconds @param {number} required status of every response
 * @returns {Promise<number>} requests a second
 */
export async function closedLoop(url, request, seconds, status) {
  let done = 0;
  const started = performance.now();
  const deadline = started + seconds * 1000;
  const run = async () => {
    const connection = await Connection.open(url);
    const { bytes } = await connection.exchange(request);
    for (; performance.now() < deadline; done++) {
      const answer = await connection.exchange(request);
      assert.equal(answer.status, status);
      assert.equal(answer.bytes, bytes, 'the length of the response changed');
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, run));
  return done / ((performance.now() - started) / 1000);
}

/**
 * Open loop: sends a request at a fixed rate, without waiting for earlier responses, until `stop` aborts.
 * @param {string} url @param {string} request @param {number} perSecond @param {AbortSignal} stop
 * @returns {Promise<{ latenciesMs: number[], errors: number }>} a status other than 200 counts as an error
 */
export async function openLoop(url, request, perSecond, stop) {
  const idle = await Promise.all(Array.from({ length: connections }, () => Connection.open(url)));
  const latenciesMs = [];
  let errors = 0;
  const send = async () => {
    try {
      const connection = idle.pop() ?? (await Connection.open(url));
      const sent = performance.now();
      const { status } = await connection.exchange(request);
      latenciesMs.push(performance.now() - sent);
      if (status !== 200) errors++;
      idle.push(connection);
    } catch {
      errors++;
    }
  };
  const pending = [];
  const started = performance.now();
  while (!stop.aborted) {
    const due = ((performance.now() - started) / 1000) * perSecond;
    while (pending.length < due) pending.push(send());
    await sleep(1);
  }
  await Promise.all(pending);
  for (const connection of idle) connection.close();
  return { latenciesMs, errors };
}
