"""Score the images of a folder in a Prefect flow: python on_prefect.py NIGHT RESULTS."""

import json
import subprocess
import sys

from prefect import flow, get_run_logger, task


@task(retries=2, retry_delay_seconds=5)
def score(night: str, results: str) -> subprocess.CompletedProcess[str]:
    """Score a night; where the program is killed it is started again, and goes on where it stopped."""
    command = ["rbinfer", "batch", night, "-o", results, "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not 0 <= done.returncode < 128:
        raise RuntimeError(f"rbinfer was killed (exit code {done.returncode}): {done.stderr.strip()}")
    return done


@flow
def score_night(night: str, results: str) -> None:
    """Score a night, and say what was found and which images failed; a further run tries only those."""
    done = score(night, results)
    if not done.stdout:
        raise RuntimeError(done.stderr.strip())
    report = json.loads(done.stdout)
    for failure in report["failures"]:
        get_run_logger().error("%(image)s: %(error)s", failure)
    get_run_logger().info("%(real)d real, %(bogus)d bogus", report["totals"])


if __name__ == "__main__":
    score_night(*sys.argv[1:])
