# Run `make` to see what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# What `make image` makes: its name, and for which platforms.
IMAGE ?= sealbridge-controller:devel
PLATFORMS ?= linux/$(shell go env GOARCH)
comma := ,
platforms = $(subst $(comma), ,$(PLATFORMS))
# Which packages, and what else to tell `go test`: make test PKG=./crypto/... TESTFLAGS='-run Seal -v'
PKG ?= ./...
TESTFLAGS ?=

progress := tools/scripts/progress
tool := go tool -modfile=tools/go.mod
build := env CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
# The CLI seals with BoringSSL's RSA where tools/scripts/boring says that it can: docs/design/0029-boringssl.md.
boring := env CGO_ENABLED=1 GOEXPERIMENT=boringcrypto
boring-flags := -trimpath -tags netgo,osusergo
boring-build := $(boring) go build $(boring-flags) -buildvcs=false -ldflags "-s -w -linkmode=external -extldflags=-static -X main.version=$(VERSION)"
# The real parts build the same whatever the developer's GOFLAGS and workspace say. Their flags are part of the cache's
# key: a change builds Kubernetes and Vault anew.
part := env GOFLAGS= GOWORK=off go build -trimpath -buildvcs=false

parts := bin/controlplane bin/kubectl bin/vault bin/kubeseal bin/sealed-secrets-controller bin/age bin/age-keygen
# Those that only tests run against.
test-parts := bin/moto bin/helm

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z.\/-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: require require-cc require-python
require:
	@tools/scripts/require
require-cc:
	@tools/scripts/require cc
require-python:
	@tools/scripts/require python

##@ Build

.PHONY: build
build: require ## Build bin/sealbridge-controller and bin/sealbridge
	@$(progress) "bin/sealbridge-controller $(VERSION)" $(build) -o bin/sealbridge-controller ./cmd/controller
	@if tools/scripts/boring; then $(progress) "bin/sealbridge $(VERSION)" $(boring-build) -o bin/sealbridge ./cmd/sealbridge; \
	else $(progress) "bin/sealbridge $(VERSION), in Go alone" $(build) -o bin/sealbridge ./cmd/sealbridge; fi

.PHONY: image push
image: require ## Make bin/sealbridge-controller.tar, an OCI image: IMAGE=registry/name:tag PLATFORMS=linux/amd64,linux/arm64
	@for platform in $(platforms); do \
		$(progress) "the controller for $$platform $(VERSION)" env GOOS=$${platform%%/*} GOARCH=$${platform#*/} \
			$(build) -o bin/image/$$platform/sealbridge-controller ./cmd/controller; done
	@$(progress) "the tool that makes images" go build -C tools -o ../bin/image/make ./image
	@bin/image/make -name $(IMAGE) -programs bin/image -o bin/sealbridge-controller.tar $(push-flag) -version $(VERSION) \
		-revision "$$(git rev-parse --quiet --verify HEAD || true)" -created "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" $(platforms)

push: push-flag := -push
push: image ## Make the image and push it to the registry that IMAGE=registry/name:tag names

# As tests say that miss them.
.PHONY: bin/sealbridge-controller bin/sealbridge bin/sealbridge-controller.tar
bin/sealbridge-controller bin/sealbridge: build
bin/sealbridge-controller.tar: image

.PHONY: parts
parts: require-python $(parts) $(test-parts) ## Build the real Kubernetes, Vault, kubeseal, age, Helm and AWS server that tests and the demo run against

bin/controlplane: test/controlplane/go.mod test/controlplane/go.sum $(wildcard test/controlplane/*.go) | require
	@$(progress) "$@: etcd, kube-apiserver, kube-controller-manager and kubectl from source (about 7 minutes on two cores the first time)" \
		env -C test/controlplane $(part) -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3" -o ../../$@ .

bin/kubectl: bin/controlplane
	@ln -sf controlplane $@

bin/vault: test/vault/go.mod test/vault/go.sum $(wildcard test/vault/*.go) | require
	@$(progress) "$@: Vault from source (about 7 minutes on two cores the first time)" \
		env -C test/vault $(part) -ldflags "-s -w" -o ../../$@ .

bin/kubeseal bin/sealed-secrets-controller: test/kubeseal/go.mod test/kubeseal/go.sum | require
	@$(progress) "$@: Sealed Secrets v0.40.0 from source (about a minute the first time)" \
		env -C test/kubeseal $(part) -ldflags "-s -w -X main.VERSION=0.40.0" -o ../../$@ \
		github.com/bitnami/sealed-secrets/cmd/$(if $(findstring kubeseal,$@),kubeseal,controller)

bin/age bin/age-keygen: test/age/go.mod test/age/go.sum | require
	@$(progress) "$@: age v1.3.2 from source (a few seconds)" \
		env -C test/age $(part) -ldflags "-s -w -X main.Version=v1.3.2" -o ../../$@ filippo.io/age/cmd/$(@F)

# As make build compiles and with its versions of what both use, so that they share the cache.
bin/helm: test/helm/go.mod test/helm/go.sum | require
	@$(progress) "$@: Helm v4.3.1 from source (about a minute the first time)" \
		env -C test/helm CGO_ENABLED=0 $(part) -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1" -o ../../$@ helm.sh/helm/v4/cmd/helm

bin/moto: test/moto/requirements.txt test/moto/install test/moto/serve.py | require-python
	@$(progress) "$@: moto 5.2.5, a server of AWS's APIs, from PyPI (about half a minute the first time)" test/moto/install $@

##@ Check

.PHONY: generate
generate: require ## Write deepcopy functions, CRDs and RBAC from the Go sources
	@$(progress) "generate" tools/scripts/generate

.PHONY: verify
verify: require ## Check that generated files are current and modules tidy, in a copy
	@$(progress) "verify" tools/scripts/verify

.PHONY: lint
lint: require ## Run the linters, which also hold the layers of docs/ARCHITECTURE.md
	@$(progress) "golangci-lint (the first run builds it)" \
		env CGO_ENABLED=0 GOFLAGS=-trimpath $(tool) golangci-lint run $(PKG) # as make build compiles, so that they share the cache
	@if [ "$(PKG)" = ./... ]; then env -C tools CGO_ENABLED=0 GOFLAGS=-trimpath go tool golangci-lint run ./...; fi

.PHONY: test
test: require-python build image $(parts) $(test-parts) ## Run all tests on the real parts, with the race detector
	@if tools/scripts/require cc; then race=-race; elif [ "$${CI:-}" = true ]; then exit 1; else \
		race=; echo "RUNNING WITHOUT THE RACE DETECTOR" >&2; fi; \
	$(progress) "compile the packages under test" go build $$race $(PKG); \
	go test $$race -shuffle=on -timeout 20m $(TESTFLAGS) $(PKG); \
	go test -C tools -shuffle=on ./...
	@if [ "$(PKG)" = ./... ]; then $(MAKE) test-boring; fi

# What the CLI does with BoringSSL, as it is built: tests of other builds say nothing of it.
.PHONY: test-boring
test-boring: $(parts)
	@if tools/scripts/boring; then $(boring) go test $(boring-flags) -shuffle=on $(TESTFLAGS) ./crypto/... ./internal/sealing/... ./cmd/sealbridge; \
	elif [ "$${CI:-}" = true ]; then echo "the CLI cannot be built with BoringSSL here, and is not tested with it; mostly no C compiler links statically (on Debian: apt-get install gcc libc6-dev), tools/scripts/boring has the other reasons" >&2; exit 1; \
	else echo "THE CLI IS NOT TESTED WITH BORINGSSL: it cannot be built with it here (tools/scripts/boring)" >&2; fi

.PHONY: fuzz-short
fuzz-short: require ## Run each fuzz test for ten seconds
	@$(MAKE) --no-print-directory fuzz-list | while read -r dir name; do \
		echo "==> $$name"; tools/scripts/fuzz "$$dir" "$$name" 10s </dev/null || exit 1; done

.PHONY: fuzz-list
fuzz-list: require # folder and name of each fuzz test
	@go list -f '{{range .TestGoFiles}}{{$$.Dir}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$$.Dir}}/{{.}} {{end}}' ./... | tr ' ' '\n' | sed '/^$$/d' | \
		xargs grep -Eo '^func Fuzz[A-Za-z0-9_]+' | sed -E 's|/[^/]+:func | |' | sort -u

.PHONY: vuln
vuln: require ## Look for known vulnerabilities in what is linked (needs the vulnerability database)
	@$(tool) govulncheck ./...

##@ Try

.PHONY: demo
demo: require build $(parts) ## Show the whole way once, on real parts; leaves it running
	@$(progress) "bin/demo" $(build) -o bin/demo ./test/demo
	@bin/demo up

.PHONY: demo-down
demo-down: require ## End what `make demo` left running
	@[ -x bin/demo ] || $(progress) "bin/demo" $(build) -o bin/demo ./test/demo
	@bin/demo down

.PHONY: bench
bench: require build $(parts) bin/sealed-secrets-controller ## Measure, others beside; prints tables and writes bin/bench/<scenario>.json
	@$(progress) "bin/benchmark" $(build) -o bin/benchmark ./test/bench
	@if [ -e bin/external-secrets ]; then eso=,eso-tuned; else eso=; \
		echo "External Secrets Operator is not measured beside: docs/performance.md says how to build bin/external-secrets" >&2; fi; \
	bin/benchmark -beside sealed-secrets-tuned$$eso

.PHONY: clean
clean: ## Remove bin/ (the real parts build again from Go's cache, moto from pip's)
	@rm -rf bin
