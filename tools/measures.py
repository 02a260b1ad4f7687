"""Write e2h/assets/measures_*.parquet, the measures of the paper's data sets without their texts.

Needs the data sets: E2H_DATA, or the hub (see load_items). `python tools/measures.py` prints the size of each file.
"""
from pathlib import Path

from e2h.data import load_items
from e2h.hardness import PAPER_MEASURES, measures_table

ASSETS = Path(__file__).resolve().parents[1] / "e2h" / "assets"

if __name__ == "__main__":
    for name in PAPER_MEASURES:
        file = ASSETS / f"measures_{name}.parquet"
        measures_table(load_items(name, part="all")).to_parquet(file, index=False, compression="zstd", compression_level=19)
        print(f"  {file.name}: {file.stat().st_size / 1000:.0f} kB")
