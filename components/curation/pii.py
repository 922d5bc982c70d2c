from collections import namedtuple
import pyarrow
R=namedtuple("R","texts counts")
def redact(texts, kinds, entities=None): return R(texts,{k: pyarrow.array([0]*len(texts)) for k in kinds})
