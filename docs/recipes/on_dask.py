"""Score the images of a folder on a Dask cluster: python on_dask.py NIGHT RESULTS [SCHEDULER]."""

import sys

from distributed import Client, LocalCluster

from rbinfer.runs.batch import run_batch


def main(night: str, results: str, scheduler: str | None = None) -> int:
    """Run the batch; returns how many images failed."""
    # One thread a worker: each scores an image by itself.
    cluster = scheduler or LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(cluster) as client:
        report = run_batch(night, results, scheduler=client)
    for failure in report.failed:
        print(f"{failure.image}: {failure.error}", file=sys.stderr)
    print(f"{report.totals['real']} real, {report.totals['bogus']} bogus in {report.n_scored} images")
    return len(report.failed)


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
