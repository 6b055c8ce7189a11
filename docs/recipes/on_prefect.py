"""Score the images of a folder in a Prefect flow: python on_prefect.py NIGHT RESULTS."""

import json
import subprocess
import sys

from prefect import flow, get_run_logger, task


@task(retries=2, retry_delay_seconds=5)
def score(night: str, results: str) -> dict[str, int]:
    """Score a night; tried again, it goes on where it stopped. Returns totals of real and bogus."""
    command = ["rbinfer", "batch", night, "-o", results, "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)["totals"]


@flow
def score_night(night: str, results: str) -> None:
    """Score a night, and say what was found."""
    totals = score(night, results)
    get_run_logger().info("%(real)d real, %(bogus)d bogus", totals)


if __name__ == "__main__":
    score_night(*sys.argv[1:])
