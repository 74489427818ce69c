"""How config travels from Galley to its consumers: keys, records, heads, digests, and the assembler of whole change
sets.

Pure. Knows nothing of NATS or SQL; `meshcore.bus` and Galley's store do the talking.
"""
