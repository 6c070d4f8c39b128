# What Snakemake would find out again for every job, told once; no rule. Included last, when all rules are read.
import gc
import inspect
from types import FunctionType


def tell_arguments():
    """Note at the functions of the rules which arguments they take: Snakemake asks before each of its calls."""
    for found in gc.get_objects():
        if type(found) is FunctionType and found.__globals__ is globals():
            found.__signature__ = inspect.signature(found)


tell_arguments()
# Rules, configuration and modules stay: the collector need not go through them whenever the graph has grown.
gc.freeze()
