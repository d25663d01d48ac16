# gabion: two commands matter. `make up` sets up, builds and runs the product
# with a demo application behind it; `make test` sets up and runs every suite.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# A recipe below starts many processes itself; two of them at once only make
# the output unreadable.
.NOTPARALLEL:

.PHONY: help setup build up test test-full lint generate bench bench-engine bench-collateral bench-exclusions bench-rehearse waf-quality crs bench-api bench-datapath bench-capture bench-uplink bench-learn clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  make up ARGS="--listen 127.0.0.1:8888"   passes flags to bin/gabion up'
	@echo '  make test ARGS="./controlplane/..."      runs the tests of some packages only'

setup: ## install what is missing: Envoy, and what the build needs
	@scripts/setup build

build: ## build bin/gabion and bin/libgabion.so
	@scripts/build

up: setup build ## run gabion, Envoy and a demo application (Ctrl-C ends it)
	@exec bin/gabion up $(ARGS)

test: ## set up, build, and run every suite
	@scripts/setup build test
	@scripts/test $(ARGS)

test-full: ## everything exhaustive: race over the whole tree, long fuzzing
	@scripts/setup build test lint
	@scripts/test --full $(ARGS)

lint: ## vet, gofmt, staticcheck, shellcheck
	@scripts/setup lint
	@scripts/lint

generate: ## write generated files again (installs clang)
	@scripts/setup generate
	@go generate ./...

bench: ## measure Envoy plain, module, ext_proc and nginx side by side
	@scripts/setup build bench
	@scripts/build
	@scripts/bench $(ARGS)

bench-datapath: ## measure the segmentation programs, as JSON lines (root)
	@scripts/setup build
	@go run ./test/bench/datapath $(ARGS)

bench-capture: ## measure what seeing HTTP costs a packet, as JSON lines (root)
	@scripts/setup build
	@go run ./test/bench/capture $(ARGS)

bench-uplink: ## measure what reporting flows costs an agent, as JSON (root)
	@scripts/setup build
	@go run ./test/bench/uplink $(ARGS)

bench-engine: ## measure the engine alone, stock against fast, as JSON lines
	@scripts/setup build
	@go run ./test/bench/engine $(ARGS)

bench-learn: ## measure learned segmentation on generated topologies, as JSON lines
	@scripts/setup build
	@go run ./test/bench/learn $(ARGS)

bench-collateral: ## measure what large bodies cost their neighbours, in the pool and without
	@scripts/setup build
	@scripts/build
	@go run ./test/bench/collateral $(ARGS)

bench-exclusions: ## measure what learned exclusions remove, and what they cost
	@scripts/setup build
	@. scripts/tags.sh && go run -tags "$$tags" ./test/bench/exclusions $(ARGS)

bench-rehearse: ## measure how many recorded exchanges a core rehearses in a second
	@scripts/setup build
	@. scripts/tags.sh && go test -tags "$$tags" -run '^$$' -bench Rehearse -benchtime 1x $(ARGS) ./test/proposal

waf-quality: ## judge the WAF's profiles: what they find, what they stop in vain
	@scripts/setup build quality
	@go run ./test/quality $(ARGS)

bench-api: ## measure what is learned of APIs, against what they are
	@scripts/setup build bench-api
	@go run ./test/bench/api $(ARGS)

bench-sensitive: ## measure the classifiers of sensitive data, as JSON lines
	@go run ./test/bench/sensitive $(ARGS)

crs: ## run the CRS regression tests, in one process and through Envoy
	@scripts/setup build
	@scripts/build
	@scripts/crs $(ARGS)

clean: ## remove what was built (.tools, with Envoy, stays)
	@rm -rf bin .cache
