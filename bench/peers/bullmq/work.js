// Enqueues and runs no-op jobs with BullMQ, and prints what that took as one line of JSON:
//
//     node work.js HOST PORT JOBS CONCURRENCY
import { Queue, Worker } from 'bullmq';

const [host, port, jobs, concurrency] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const connection = { host, port, maxRetriesPerRequest: null };
const options = { removeOnComplete: true };

const queue = new Queue('noop', { connection });
await queue.waitUntilReady();
let begin = performance.now();
for (let at = 0; at < jobs; at += 1000) {
  const page = [];
  for (let i = at; i < Math.min(at + 1000, jobs); i++) page.push({ name: 'noop', data: { i }, opts: options });
  await queue.addBulk(page);
}
const enqueued = performance.now() - begin;

begin = performance.now();
let left = jobs;
let finished;
const all = new Promise((resolve) => { finished = resolve; });
const worker = new Worker('noop', async () => {}, { connection, concurrency });
worker.on('completed', () => { if (--left === 0) finished(); });
await all;
const worked = performance.now() - begin;
await worker.close();
await queue.close();
console.log(JSON.stringify({ enqueue_s: enqueued / 1000, work_s: worked / 1000 }));
