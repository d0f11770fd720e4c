import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.mjs';

const connections = 10;

/**
 * Sends the same request over ten connections, each as soon as the last was answered.
 * @param {string} url @param {string} request @param {number} seconds @param {number} status that every answer must have
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
      assert.equal(answer.bytes, bytes, 'an answer of another length');
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, run));
  return done / ((performance.now() - started) / 1000);
}

/**
 * Sends a request so many times a second, whether earlier ones were answered or not, until told to stop.
 * @param {string} url @param {string} request @param {number} perSecond @param {AbortSignal} stop
 * @returns {Promise<{ latenciesMs: number[], errors: number }>} an answer other than 200 is an error
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
