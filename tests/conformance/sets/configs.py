"""The set configs: files that must be accepted."""

from tests.conformance.manifest_files import run_files

SET = "configs"
run = run_files
