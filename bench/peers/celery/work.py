"""Enqueues and runs no-op tasks with Celery, and prints what that took as one line of JSON:

    python3 work.py REDIS_URL TASKS PROCESSES

The worker is Celery's own program, which this file starts and which imports it for its task.
"""
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

if __name__ == "__main__":
    os.environ.update(BENCH_URL=sys.argv[1], BENCH_TASKS=sys.argv[2])

from celery import Celery

app = Celery("work", broker=os.environ["BENCH_URL"])
app.conf.update(task_ignore_result=True)
left = multiprocessing.Value("i", int(os.environ["BENCH_TASKS"]))  # the worker's processes are forks, and share it


@app.task(name="noop")
def noop(number):
    with left.get_lock():
        left.value -= 1
        if left.value == 0:
            os.write(int(os.environ["BENCH_DONE"]), b"done")


def main(tasks, processes):
    begin = time.monotonic()
    with app.producer_pool.acquire(block=True) as producer:
        for i in range(tasks):
            noop.apply_async((i,), producer=producer)
    enqueued = time.monotonic() - begin
    done, tell = os.pipe()
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "work", "worker", "-c", processes, "-l", "ERROR", "--without-gossip", "--without-mingle"]
    begin = time.monotonic()
    worker = subprocess.Popen(command, env=dict(os.environ, BENCH_DONE=str(tell)), pass_fds=[tell],
                              cwd=os.path.dirname(os.path.abspath(__file__)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.read(done, 4)
    worked = time.monotonic() - begin
    worker.send_signal(signal.SIGQUIT)  # a warm shutdown takes half a minute more
    worker.wait()
    print(json.dumps({"enqueue_s": enqueued, "work_s": worked}))


if __name__ == "__main__":
    main(int(sys.argv[2]), sys.argv[3])
