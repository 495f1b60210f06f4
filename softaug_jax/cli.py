"""What the commands share: the --config flag, and errors as one line with exit code 2."""

from __future__ import annotations

import logging
import re
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from softaug_jax.checks import UsageError
from softaug_jax.data.info import INFO
from softaug_jax.start_up import leave_now

flags.disclaim_key_flags()  # --help has the flags of the program, which calls what defines them here
EXAMPLE = "Name a file, for example --config=configs/digits_sa.py."
NO_CONFIG = f"--config is missing. {EXAMPLE}"


def run_with_config(main: Callable[[Any, flags.FlagValues], Any]) -> None:
    """Adds --config to the flags, parses the command line and calls main(config, flags).

    UsageError in it ends the program with its message and code 2.
    """
    config_flags.DEFINE_config_file("config", None, "The config file, with arguments after a colon.", lock_config=True)
    quiet()
    app.run(lambda argv: _guarded(main), flags_parser=_parse)


def quiet() -> None:
    """Leaves the terminal to the run: Orbax logs dozens of lines a save at INFO, and gcsfs what it raises, too."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("orbax").setLevel(logging.ERROR)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="orbax")


def fail(message: str, code: int = 2) -> None:
    """Ends the program with one line on stderr."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def config_of(options: Sequence[str]) -> ConfigDict:
    """The config that main.py has when it is given these options: --config and fields of it.

    Raises:
      UsageError: if --config is missing, an option is not understood, a field is unknown or of another type, or it is
        one that the config has made others of.
    """
    values, argv = flags.FlagValues(), ["main.py", *options]
    config_flags.DEFINE_config_file("config", None, flag_values=values, lock_config=True, sys_argv=argv)
    _read(values, argv)
    if values["config"].value is None:
        raise UsageError(NO_CONFIG)
    return values["config"].value


def typed(options: flags.FlagValues) -> Mapping[str, Any]:
    """The config's fields that options of the command line have set, with their values."""
    return config_flags.get_override_values(options["config"])


def _read(values: flags.FlagValues, argv: Sequence[str]) -> None:
    """Parses the command line into `values`, and the config with it."""
    try:
        rest = values(argv)
        if values["config"].value is not None:
            values["config"].value.to_dict()  # raises OSError if the file could not be read
    except (AttributeError, KeyError) as error:
        raise UsageError(_unknown_field(error, argv)) from None
    except OSError as error:
        missing = re.search(r"No such file or directory: '(.+)'", str(error))
        if missing:
            raise UsageError(f"--config={missing[1]}: there is no such file. {EXAMPLE}") from None
        raise UsageError(f"--config can't be read: {_origin(error)}.") from None
    except SyntaxError as error:
        raise UsageError(f"--config can't be read: {error}.") from None
    except (flags.Error, ValueError, TypeError) as error:
        if "as a ConfigDict" in str(error):
            option = str(error).removeprefix("flag ").partition(": ")[0]
            raise UsageError(f"{option} would set many fields. Set one, as in --config.augment.sigma=0.2.") from None
        wrapped = "Error whilst parsing config file" in str(error)
        raise UsageError(str(_origin(error) if wrapped else error)) from None
    if len(rest) > 1:
        raise UsageError(f"{rest[1]!r} is not understood: options begin with --, as in --config=configs/digits_sa.py.")
    if values["config"].value is not None and "runs" not in values["config"].value:
        _check_recipe(values)


def _check_recipe(values: flags.FlagValues) -> None:
    """Raises UsageError for an option that would leave as it was what its config has made of the field.

    The batch, the flip, Cutout's length and the config's name follow the data set; the projector and the learning rate
    the method for pairs. Of a config file of one's own nothing is known here.
    """
    file = Path(config_flags.get_config_filename(values["config"]).partition(":")[0])
    for field in ("dataset", "pairs.method"):
        name = f"config.{field}"
        if name not in values or values[name].value == values[name].default:  # which the config has
            continue
        recipe = _recipe_with(file, field, str(values[name].value))
        if recipe is not None:
            raise UsageError(
                f"--{name}={values[name].value} would leave the rest of {file}, which is made for "
                f"{values[name].default}, as it is. Use --config={recipe}."
            )


def _recipe_with(file: Path, field: str, value: str) -> str | None:
    """The shipped config, with its argument, that is made as `file` is but for the field's value; None: no such one."""
    kind = file.stem.rpartition("_")[2]
    if field == "pairs.method":
        name, argument = value, ""
    elif value not in INFO:
        return None
    elif file.stem in ("simsiam", "barlow_twins"):
        name, argument = file.stem, f":dataset={value}"
    elif kind in ("baseline", "sa"):
        family = "imagenet" if INFO[value].encoded else value
        name, argument = f"{family}_{kind}", "" if family == value else f":dataset={value}"
    else:
        return None
    recipe = file.with_name(f"{name}.py")
    return f"{recipe}{argument}" if recipe.is_file() else None


def _unknown_field(error: AttributeError | KeyError, argv: Sequence[str]) -> str:
    """ml_collections names the field, and the one that may be meant; here the option that has it is named, too."""
    what: Any = error
    while isinstance(what, (AttributeError, KeyError)):
        what = what.args[0]
    if "get_config" in what:
        return f"--config names no config: its file has no get_config(). {EXAMPLE}"
    named = re.match(r"'(\w+)'", what)
    if named is None:
        return f"--config: {what}."
    options = [word for word in argv if word.startswith("--config.") and named[1] in re.split(r"[.=]", word)]
    hint = what[named.end() :].strip()
    return f"{options[0] if options else '--config'}: the config has no field {named[0]}. {hint}"


def _parse(argv: list[str]) -> list[str]:
    try:
        _read(flags.FLAGS, argv)
    except UsageError as error:
        fail(str(error))
    if flags.FLAGS.config is None:
        fail(NO_CONFIG)
    return argv[:1]


def _origin(error: BaseException) -> BaseException:
    """What get_config raised, which the flags library wraps, traceback and all."""
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = inner
    return error


def _guarded(main: Callable[[Any, flags.FlagValues], Any]) -> None:
    from softaug_jax.train.training import NonFiniteLoss

    try:
        main(flags.FLAGS.config, flags.FLAGS)
    except UsageError as error:
        fail(str(error))
    except NonFiniteLoss as error:
        fail(str(error), code=1)
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        leave_now(128 + signal.SIGINT)
