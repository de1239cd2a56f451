"""The process that makes renditions, as ``render_process.py`` starts it: a job a line."""

import os
import queue
import sys
import threading


def main() -> None:
    """Run jobs from the standard input until it ends; the first argument is the niceness."""
    # Before the decoders are loaded, which takes a while.
    os.nice(int(sys.argv[1]))
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    from services.ingest.render_job import RenderJob, run_job

    while True:
        print(run_job(RenderJob.from_json(jobs.get())).to_json(), flush=True)


def _read(jobs: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    # The server is gone, or wants no more: nobody needs what is being made.
    os._exit(0)


if __name__ == "__main__":
    main()
