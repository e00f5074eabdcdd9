// Holds each job for an hour, and says when one begins: what becomes of it when its worker is killed?
//
//     node hold.js HOST PORT [add]
//
// With "add" it puts the job on the queue first.
import { Queue, Worker } from 'bullmq';

const [host, port, add] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const connection = { host, port, maxRetriesPerRequest: null };
if (add) await new Queue('hold', { connection }).add('hold', {});
new Worker('hold', async () => {
  console.log('began');
  await new Promise((resolve) => { setTimeout(resolve, 3600 * 1000); });
}, { connection });
