"""The conformance runner: a corpus of cases, run through the project's public functions.

`make conformance CORPUS=FOLDER`. Each folder of the corpus is one set; the module of that set in `sets` reads its files
and says what came of each case. Nothing here knows a single case.
"""
