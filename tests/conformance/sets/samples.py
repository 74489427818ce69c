"""The set samples: files that must be accepted."""

from tests.conformance.manifest_files import run_files

SET = "samples"
run = run_files
