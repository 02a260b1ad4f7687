"""Seconds and memory for loading and measuring the paper's four data sets: `E2H_DATA=FOLDER python benchmarks/loading.py`.

The aim is under 5 seconds and 500 MB in all, on 2 cores.
"""
import os
import resource
import sys
import time

if not os.environ.get("E2H_DATA"):
    sys.exit("E2H_DATA names no folder with the four data sets")

start = time.perf_counter()
from e2h.data import SOURCES, load_items  # noqa: E402
from e2h.hardness import measures_table  # noqa: E402

print(f"{'import':12} {time.perf_counter() - start:6.2f} s")
for name in SOURCES:
    before = time.perf_counter()
    table = measures_table(load_items(name, part="all"))
    print(f"{name:12} {time.perf_counter() - before:6.2f} s  {len(table):6,} items  {table.shape[1]:3} columns")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # MB
print(f"{'all':12} {time.perf_counter() - start:6.2f} s  {peak:6.0f} MB at most")
