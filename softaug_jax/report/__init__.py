"""Tables and figures from finished runs, and the paper's numbers. Run it: python -m softaug_jax.report RUNS...

Importing it loads neither TensorFlow nor Matplotlib.
"""

from softaug_jax.report.curves import learning_curves, occlusion, reliability
from softaug_jax.report.figures import image_grid, softening_curves
from softaug_jax.report.pair_figure import pair_grid
from softaug_jax.report.paper import RESULTS, PaperResult, lookup
from softaug_jax.report.run_figures import write_comparison_figures, write_run_figures
from softaug_jax.report.runs import Run, find, read
from softaug_jax.report.table import Table, comparison

__all__ = [
    "RESULTS",
    "PaperResult",
    "Run",
    "Table",
    "comparison",
    "find",
    "image_grid",
    "learning_curves",
    "lookup",
    "occlusion",
    "pair_grid",
    "read",
    "reliability",
    "softening_curves",
    "write_comparison_figures",
    "write_run_figures",
]
