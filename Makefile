# Two commands show it all: `make` and `make demo`. What is missing on a Debian
# or Ubuntu machine is installed by its package manager, with a word about it.

GOLANGCI_LINT_VERSION := v2.15.0

VERSION := $(or $(patsubst v%,%,$(shell git describe --tags --dirty 2>/dev/null)),0.1.0)
# What is built of one commit is dated by it.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
SOURCES := $(shell find plugin cgo include -name '*_test.go' -prune -o -name '*.[ch]' -print -o -name '*.go' -print) go.mod go.sum
C_FILES := $(wildcard cgo/*.[ch] cgo/musl/*.c packaging/*.c include/*.h test/*/*/*.c)
SCRIPTS := $(wildcard .ci/* cgo/musl/*.sh packaging/*.sh test/*/*.sh)

# The ids of a build are made of what includes its folder: without them the same commit gives the same bytes anywhere.
LDFLAGS := -buildid= -X go-jwt-auth/plugin.Version=$(VERSION)
PLUGIN := build/go_jwt_auth.so
TOOL := build/go-jwt-auth
GOLANGCI_LINT := $(CURDIR)/build/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
MQTTJS := test/harness/mqttjs
PAHO_PYTHON := build/paho-python
INSTALL := .ci/apt-install

.PHONY: all tool musl test unit model e2e test-keycloak test-musl packages sbom test-packages demo bench lint format brokers clean headers set-up

all: $(PLUGIN)

$(PLUGIN): $(SOURCES) | headers
	CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags "$(LDFLAGS) -extldflags '-Wl,--build-id=none'" -o $@ ./cgo
	@rm -f $(PLUGIN:.so=.h)

# The command-line tool, with its man pages and shell completions.
tool: $(TOOL)

$(TOOL): $(SOURCES) embed.go docs/troubleshooting.md $(shell find cmd idp -name '*_test.go' -prune -o -type f -print)
	cd cmd && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(CURDIR)/$@ ./go-jwt-auth
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(TOOL) docs build

# For Alpine and other musl systems: docs/musl.md.
ARCH ?= amd64

musl:
	VERSION=$(VERSION) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) cgo/musl/build.sh $(ARCH)

# .deb, .rpm and .apk. `git describe` names the version of a tagged commit.
ARCHS ?= amd64 arm64 armhf

packages:
	VERSION=$(VERSION) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) packaging/build.sh $(ARCHS)

# What is linked into them, for a release.
sbom: packages
	VERSION=$(VERSION) packaging/sbom.sh

# As root: lintian, logins on ARM under qemu, an install in Debian 12 and 13,
# and whether another build gives the same bytes.
test-packages: packages
	packaging/test.sh $(STEPS)

headers:
	@printf '%s\n' '#if !__has_include(<mosquitto_plugin.h>) && !__has_include(<mosquitto/broker_plugin.h>)' '#error' '#endif' | \
		$(CC) -E -x c - >/dev/null 2>&1 || $(INSTALL) mosquitto-dev libmosquitto-dev

# --- tests

test: unit e2e

unit: set-up
	go test -race ./...
	go test -count=1 -run "CostsMuchMore|Allocat|LittleMemory" ./plugin ./plugin/chain ./plugin/token # times and counts, which the race detector changes
	cd idp && go test -race ./...
	cd cmd && go test -race ./...
	cd test && go test -race -count=1 $$(go list ./... | grep -v /e2e)

# Random sequences against the rules of who may be connected, for so long. It
# says how many steps that were.
MINUTES ?= 30

model:
	go test -count=1 -v -timeout $$(($(MINUTES) + 10))m ./plugin/model -run TestModel -model.time=$(MINUTES)m

# Most of their time they wait, so that more of them go at once than there are processors.
e2e: set-up
	cd test && go test -count=1 -timeout 20m -parallel 4 ./e2e/...

# What logins cost, and what they do to others: 25 minutes, on a machine with nothing else to do; docs/performance.md, which it
# writes, says more. For 2 minutes: make bench ARGS=-quick
bench: set-up
	@cd test && go build -o ../build/bench/bench ./bench
	@build/bench/bench $(ARGS)

# A real Keycloak: too heavy for every day. Wants Java 17 and Maven.
test-keycloak: set-up
	@test/keycloak/fetch.sh
	cd test && KEYCLOAK_HOME=$(CURDIR)/build/keycloak go test -count=1 -v -timeout 20m ./keycloak

# The end-to-end cases against Mosquitto on musl, which is built first (3 min).
test-musl: set-up
	@$(MAKE) --no-print-directory musl ARCH=amd64
	@test/brokers/musl.sh
	cd test && MOSQUITTO_LIBC=musl GO_JWT_AUTH_SO=$(CURDIR)/build/musl/amd64/go_jwt_auth.so go test -count=1 -timeout 20m ./e2e/...

demo: all tool
	@$(INSTALL) mosquitto mosquitto-clients
	@cd test && go build -o ../build/demo ./demo && exec ../build/demo

# What the tests need beside the plugin: brokers, clients, a second provider.
set-up: all tool brokers $(MQTTJS)/node_modules/.package-lock.json $(PAHO_PYTHON)/.installed
	@$(INSTALL) mosquitto mosquitto-clients glewlwyd libfaketime logrotate procps prometheus

brokers:
	@test/brokers/fetch.sh

$(MQTTJS)/node_modules/.package-lock.json: $(MQTTJS)/package.json $(MQTTJS)/package-lock.json
	@command -v npm >/dev/null || $(INSTALL) nodejs npm
	cd $(MQTTJS) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Debian's python3 has venv in a package of its own, ensurepip with it.
$(PAHO_PYTHON)/.installed: test/harness/paho-python/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || $(INSTALL) python3 python3-venv
	python3 -m venv --clear $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --only-binary :all: -r $<
	@touch $@

# --- docker

.PHONY: test-docker
SCRIPTS += $(wildcard docker/*.sh)

# What docker/ holds, without an engine: its Keycloak and broker as plain
# programs, and its images built by buildah. Wants root, Java 17 and Maven, and
# takes 6 min, and 9 where Keycloak and the brokers for musl are not there yet.
test-docker: set-up
	@$(INSTALL) curl
	@test/keycloak/fetch.sh
	cd test && KEYCLOAK_HOME=$(CURDIR)/build/keycloak go test -count=1 -v -timeout 20m ./docker
	@test/docker/images.sh

# --- examples

EXAMPLES_JS := examples/javascript/node_modules/.package-lock.json
EXAMPLES_PYTHON := $(PAHO_PYTHON)/.examples

.PHONY: examples-tools lint-examples test-browser

set-up: $(EXAMPLES_JS) $(EXAMPLES_PYTHON) examples-tools

examples-tools:
	@$(INSTALL) curl jq

$(EXAMPLES_JS): examples/javascript/package.json examples/javascript/package-lock.json
	@command -v npm >/dev/null || $(INSTALL) nodejs npm
	cd examples/javascript && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(EXAMPLES_PYTHON): examples/python/requirements.txt $(PAHO_PYTHON)/.installed
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --only-binary :all: -r $<
	@touch $@

# The pages in a headless Chromium, that of the examples and the tool's: half a minute to install, two to run.
test-browser: set-up
	@$(INSTALL) chromium
	cd test && go test -count=1 -tags browser -run TestPage ./examples
	cd test && go test -count=1 -tags browser ./ui

lint: lint-examples

lint-examples: $(GOLANGCI_LINT) $(EXAMPLES_JS) $(EXAMPLES_PYTHON)
	cd examples/go && $(GOLANGCI_LINT) run ./...
	@for f in examples/javascript/*.js examples/javascript/*/*.js; do node --check $$f || exit 1; done
	@for f in cmd/internal/ui/page/*.js; do node --check --input-type=module <$$f || exit 1; done
	$(PAHO_PYTHON)/bin/python -W error -m py_compile examples/python/client.py
	shellcheck examples/mosquitto_pub/publish.sh

# --- linters

# clang-format has no option for the `){` of Mosquitto's style.
MOSQUITTO_STYLE := sed -E 's/\) \{$$/){/; s/(else|do) \{$$/\1{/; s/\} (else|while)/}\1/'

lint: $(GOLANGCI_LINT) headers
	@$(INSTALL) clang-format cppcheck shellcheck
	$(GOLANGCI_LINT) run ./...
	cd idp && $(GOLANGCI_LINT) run ./...
	cd cmd && $(GOLANGCI_LINT) run ./...
	cd test && $(GOLANGCI_LINT) run ./...
	@echo clang-format $(C_FILES)
	@for f in $(C_FILES); do clang-format $$f | $(MOSQUITTO_STYLE) | diff -u --label "$$f" --label '`make format`' $$f - || bad=1; done; [ -z "$$bad" ]
	cppcheck --quiet --error-exitcode=1 --enable=warning,style,performance,portability --inline-suppr --suppress=unusedStructMember --std=c11 \
		'-D__has_include(x)=0' -Iinclude $(filter %.c,$(C_FILES))
	shellcheck $(SCRIPTS)

format: $(GOLANGCI_LINT)
	@$(INSTALL) clang-format
	$(GOLANGCI_LINT) fmt
	@for f in $(C_FILES); do clang-format $$f | $(MOSQUITTO_STYLE) >$$f.new && mv $$f.new $$f || exit 1; done

# Built by the Go that the newest of the modules asks for, as it can't lint
# code for a newer one than its own.
$(GOLANGCI_LINT):
	@mkdir -p $(@D)
	toolchain=$$(cd test && go env GOVERSION) && GOTOOLCHAIN=$$toolchain GOBIN=$(@D) \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(@D)/golangci-lint $@

clean:
	rm -rf build $(MQTTJS)/node_modules examples/javascript/node_modules
