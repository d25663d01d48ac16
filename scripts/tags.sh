# shellcheck shell=bash
# The build tags of everything that is shipped, and of the tests: what is tested
# is what is built.
# shellcheck disable=SC2034 # read by the scripts that source this file
tags=no_fs_access,coraza.disabled_operators.inspectFile,coraza.disabled_operators.rbl,coraza.disabled_operators.validateSchema
# The areas, and what is beside them: every folder of ours with Go but test/.
# shellcheck disable=SC2034
areas=(./api-discovery ./cmd ./controlplane ./filters ./internal ./segmentation ./waf-rules ./workload)

# needs_root says that the tests in a folder need root, and that we are not: they
# make network namespaces and load programs into the kernel.
needs_root() { [ "$(id -u)" != 0 ] && grep -qsE '/internal/netnstest"|"netns", "add"' "$1"/*_test.go; }
