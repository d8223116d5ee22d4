# kmsd's bench. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BUF_VERSION := 1.75.0
BUF := bin/buf-$(BUF_VERSION)
FUZZTIME ?= 5s
CRASH_ROUNDS ?= 200
AUTHZ_CASES ?= 3000000
CASES ?= 100000
EXECS ?= 10000000

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/kmsd and bin/kmsctl
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.commit=$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)" -o bin/ ./cmd/kmsd ./cmd/kmsctl

.PHONY: demo
demo: build ## the main job for real, explained as it goes
	@./demo/run

.PHONY: run
run: build ## start kmsd on ./kmsd-data (made on the first start)
	@./demo/serve

.PHONY: test
test: ## all tests of a change, of what `make build` builds
	CGO_ENABLED=0 go test ./...

.PHONY: check
check: check-generated check-proto lint fips authz race crash fuzz ## everything that must hold before a change lands

.PHONY: generate
generate: $(BUF) ## make the Go code of the .proto files
	$(BUF) generate

.PHONY: check-generated
check-generated: $(BUF)
	@rm -rf .tmp/generated && mkdir -p .tmp/generated
	@$(BUF) generate -o .tmp/generated
	@diff -r -q -x '*.proto' -x '*.binpb' proto .tmp/generated/proto || { echo "generated code is stale: run 'make generate' and commit what it changes" >&2; exit 1; }
	@test -n "$$(find .tmp/generated -name '*.pb.go')" || { echo "buf generated nothing" >&2; exit 1; }

.PHONY: check-proto
check-proto: $(BUF)
	$(BUF) lint
	$(BUF) breaking --against proto/baseline.binpb

.PHONY: baseline
baseline: $(BUF) ## pin the API that `make check` holds later changes against (at a release)
	$(BUF) build -o proto/baseline.binpb

.PHONY: lint
lint: ## gofumpt, vet, staticcheck
	@out=$$(go tool gofumpt -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); test -z "$$out" || { echo "not formatted, run 'make format':" >&2; echo "$$out" >&2; exit 1; }
	go vet ./...
	go tool staticcheck ./...

.PHONY: format
format: ## format the Go code
	go tool gofumpt -w $$(git ls-files '*.go' | grep -v '\.pb\.go$$')

.PHONY: fips
fips: ## the cryptography under FIPS 140-3 only
	GODEBUG=fips140=only go test ./crypto/...

.PHONY: authz
authz: ## AUTHZ_CASES (3000000) random decisions against an interpreter that follows the text, and the planted defects that it must find
	KMSD_AUTHZ_CASES=$(AUTHZ_CASES) go test -count=1 -timeout 60m -run 'TestCompiledPolicies|TestPlantedDefects' -v ./authz | grep -a -v '^=== '

.PHONY: race
race: ## all tests under the race detector
	go test -race -short ./...

.PHONY: crash
crash: ## kill -9 and power cuts under writers, CRASH_ROUNDS (200) of each, and the variants without fsync that must lose
	KMSD_CRASH_ROUNDS=$(CRASH_ROUNDS) KMSD_STORAGE_CRASH_ROUNDS=$(CRASH_ROUNDS) go test -p 1 -count=1 -timeout 20m -run 'Crash|PowerLoss|Kill' -v \
		./internal/kmstest/... ./storage ./audit ./internal/powerfs | grep -a -v '^=== '

.PHONY: fuzz
fuzz: ## FUZZTIME (5s) of fuzzing for every target
	@./.ci/fuzz $(FUZZTIME)

.PHONY: fuzz-front
fuzz-front: ## EXECS (10000000) executions of the HTTP front, altered from what a minute of fuzzing finds; says how many crashed and the slowest
	go test -run '^$$' -fuzz '^FuzzHTTP$$' -fuzztime 60s ./gateway/aws
	KMSD_FUZZ_FRONT=$(EXECS) KMSD_FUZZ_CORPUS=$$(go env GOCACHE)/fuzz/github.com/kmsd/kmsd/gateway/aws/FuzzHTTP \
		go test -count=1 -timeout 60m -run '^TestFuzzFront$$' -v ./gateway/aws | grep -a -v '^=== '

.PHONY: bench
bench: build ## kmsd beside a bare gRPC echo, in one run; writes bench-out/latest.json
	@./bench/run

.PHONY: bench-quick
bench-quick: build ## a sample of `make bench` in under 50 seconds
	@./bench/run --quick

.PHONY: bench-aws
bench-aws: build ## the AWS front beside the gRPC front: server CPU per call, Encrypt at most twice as much
	@./bench/aws

.PHONY: bench-go
bench-go: ## the Go micro-benchmarks
	go test -run '^$$' -bench . -benchmem ./crypto ./authz ./audit ./storage ./keystore ./iam/... ./client/...

.PHONY: bench-keys
bench-keys: build ## KEYS (1000000) keys: how long until they serve, what memory and what latency beside 100 keys
	@./bench/keys $(or $(KEYS),1000000)
	GOGC=400 KMSD_BENCH_KEYS=$(or $(KEYS),1000000) go test -run '^$$' -bench OpenKeys -timeout 60m ./keystore

.PHONY: interop
interop: build ## files of kmsctl and of the AWS Encryption SDK for JavaScript, each read by the other (needs node and npm)
	@./interop/run

.PHONY: clients
clients: build ## AWS's clients against kmsd: SDKs, aws, sops, Tink, gocloud, Encryption SDK, Kubernetes (says what it skips; not part of the gate)
	@./clients/run

.PHONY: differential
differential: ## CASES (100000) random cases per algorithm against OpenSSL 4, Java and Tink (needs python3 with cryptography 48 and java 17, says what it skips)
	@./difftest/run $(CASES)

.PHONY: wycheproof-fetch
wycheproof-fetch: ## make the vectors of Project Wycheproof anew, at the commit in internal/vectors/testdata/ORIGIN
	@./internal/vectors/fetch

.PHONY: sigv4-suite
sigv4-suite: ## get the published test suite of Signature Version 4, at the commit in iam/sigv4/testdata/ORIGIN, and run it
	@./iam/sigv4/suite

.PHONY: clean
clean: ## remove what was built
	rm -rf bin bench-out .tmp

$(BUF):
	@mkdir -p bin
	GOBIN=$(CURDIR)/bin go install github.com/bufbuild/buf/cmd/buf@v$(BUF_VERSION)
	@mv bin/buf $@
