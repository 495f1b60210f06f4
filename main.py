"""Trains or evaluates a config, or tests finished runs.

python main.py --config=configs/cifar10_sa.py[:key=value,...] [--workdir=DIR] [--config.path.to.field=value]
python main.py --config=... --workdir=DIR --mode=eval
python main.py --config=configs/occlusion.py --config.runs=DIR,... [--workdir=DIR]      (or configs/calibration.py)

One process on one machine needs nothing else. On several machines the same command is started on each (launch/).
"""

import signal

if __name__ == "__main__":  # it is held back until something listens: what is imported here takes seconds
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

import datetime
from typing import Any

from absl import flags

from softaug_jax import cli
from softaug_jax.start_up import ends_on_sigterm
from softaug_jax.train import distributed


def main(config: Any, options: flags.FlagValues) -> None:
    """Runs the loop; it is imported here so that a wrong command line is answered at once."""
    is_test = "runs" in config
    if options.workdir is not None and (not options.workdir or options.workdir.startswith("~")):
        cli.fail(f"--workdir={options.workdir}: after = no shell puts a home folder for ~. Write a whole path.")
    if options.workdir is None and options.mode == "eval" and not is_test:
        cli.fail("--mode=eval needs --workdir, the folder of the run to evaluate.")
    goes_on = not is_test and options.mode == "train"
    with ends_on_sigterm(goes_on, distributed.leave), distributed.joined(options) as peers:
        name = f"runs/{config.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        workdir = options.workdir or peers.first_says(name)
        if is_test:
            from softaug_jax import evaluate

            evaluate.run(config, workdir)
            return
        from softaug_jax.train import loop

        loop.run(config, workdir, options.mode, cli.typed(options))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Where the run is kept. Default: runs/<config>-<time>.")
    flags.DEFINE_enum("mode", "train", ["train", "eval"], "Train (the default), or evaluate the newest checkpoint.")
    distributed.define_flags()
    cli.run_with_config(main)
