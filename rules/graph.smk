# What Snakemake would find out again for every job, told once; no rule. Included last, when all rules are read.
import gc
import inspect
from types import FunctionType


# Before every call of an input function Snakemake asks which arguments it takes.
for found in gc.get_objects():
    if type(found) is FunctionType and found.__globals__ is globals():
        found.__signature__ = inspect.signature(found)

# Rules, configuration and modules stay: the collector need not go through them whenever the graph has grown.
gc.freeze()
