# Everything that is typed here, for people and for .ci/run. `make` alone lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.ONESHELL:
.SUFFIXES:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# The Python that the virtual environment is made of; without one the first of PYTHONS that is new enough.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
PINS := deploy/requirements
INSTALLED := $(VENV)/.installed-

# How many processes run the tests: much of their time they wait for programs beside them. In the first part of all
# tests one more does, for browsers and commands; it leaves two cores idle for a third of the time otherwise.
TEST_PROCESSES ?= 2
# They get their files in the order of tests/conftest.py, not by how many tests are in each.
IN_PROCESSES := --dist loadfile --no-loadscope-reorder --numprocesses
# Tests start hundreds of processes: where no bytecode may be kept, each of them compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE
# What runs several servers at once, and is told what a deadline is by the real clock: it runs after what computes all of its time.
APART := tests/nodes tests/redis tests/inflight
# By itself, because a browser begins anew when the networks of containers come and go.
STACK := tests/stack

# Each port of the demo can be given: make demo ENVOY_PORT=18080
DEMO_OPTIONS = \
  $(if $(ENVOY_PORT),--envoy-port '$(ENVOY_PORT)') \
  $(if $(NGINX_PORT),--nginx-port '$(NGINX_PORT)') \
  $(if $(UPSTREAM_PORT),--upstream-port '$(UPSTREAM_PORT)') \
  $(if $(CHECK_PORT),--check-port '$(CHECK_PORT)') \
  $(if $(ADMIN_PORT),--admin-port '$(ADMIN_PORT)') \
  $(if $(COMPLETION_PORT),--completion-port '$(COMPLETION_PORT)') \
  $(if $(ENVOY_ADMIN_PORT),--envoy-admin-port '$(ENVOY_ADMIN_PORT)')

.PHONY: help
help: ## List the targets
	@echo 'make TARGET, where TARGET is one of'
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(INSTALLED)demo demo-packages ## Run extauth, Envoy, nginx and a sample API here, with curl lines to paste
	@exec $(VENV)/bin/extauth demo $(DEMO_OPTIONS)

# Compose builds the image where there is none, and asks for the others.
.PHONY: demo-stack
demo-stack: ## Run two extauth on a Redis behind Envoy and nginx in containers, and show what they answer
	@deploy/stack.sh demo

.PHONY: stop-stack
stop-stack: ## Stop what demo-stack started; its keys stay
	@deploy/stack.sh down

.PHONY: test
test: test-packages lint types ## Everything that a change must pass: lint, types and all tests
	@$(PY) -m pytest $(IN_PROCESSES) $$(($(TEST_PROCESSES) + 1)) $(addprefix --ignore=,$(APART) $(STACK))
	$(PY) -m pytest $(IN_PROCESSES) $(TEST_PROCESSES) $(APART)
	$(PY) -m pytest $(STACK)

.PHONY: unit
unit: $(INSTALLED)dev ## Unit and conformance tests that need no other program, in seconds
	@$(PY) -m pytest $(IN_PROCESSES) $(TEST_PROCESSES) -m 'not servers' tests/unit tests/conformance

.PHONY: lint
lint: $(INSTALLED)dev ## Look for mistakes and for another format than ruff's
	@$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

# With bench's packages, because the types of the benchmarks are checked too.
.PHONY: types
types: $(INSTALLED)dev $(INSTALLED)bench ## Check the types of package, tests and benchmarks
	@$(VENV)/bin/mypy

.PHONY: bench
bench: $(INSTALLED)bench bench-packages ## Measure a check against a bare server; benchmarks/README.md explains
	@$(PY) benchmarks/run.py
	$(PY) benchmarks/signals.py

.PHONY: site
site: export NO_MKDOCS_2_WARNING := 1
site: $(INSTALLED)dev ## Build the documentation as a site, into dist/site
	@$(PY) -m mkdocs build --quiet --strict --config-file deploy/site/mkdocs.yml
	echo 'See it: python3 -m http.server --bind 127.0.0.1 --directory dist/site'

.PHONY: build
build: $(INSTALLED)demo ## Build wheel and source archive, into dist; the same commit gives the same bytes
	@export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y pyproject.toml)
	rm -f dist/*.whl dist/*.tar.gz dist/*.cdx.json dist/SHA256SUMS
	$(PY) -m hatchling build

# Its copy has the tests and what users copy, but not the package: what isn't in the wheel is missed.
# Without the containers, whose image is made of the package's sources.
.PHONY: test-wheel
test-wheel: build test-packages ## Run the tests against the built wheel, installed as users do
	@folder=$$(mktemp -d)
	trap 'rm -rf "$$folder"' EXIT
	tar --extract --file dist/*.tar.gz --directory "$$folder" --strip-components=1
	rm -r "$$folder/extauth"
	$(PY) -m venv "$$folder/.venv"
	"$$folder/.venv/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes --requirement $(PINS)/dev.txt
	"$$folder/.venv/bin/pip" install --quiet --disable-pip-version-check --no-input --no-deps dist/*.whl
	cd "$$folder"
	.venv/bin/python -m pytest $(IN_PROCESSES) $(TEST_PROCESSES) $(addprefix --ignore=,tests/release $(APART) $(STACK))
	.venv/bin/python -m pytest $(IN_PROCESSES) $(TEST_PROCESSES) $(APART)

# Made from an environment that holds the wheel and what it needs, nothing else: so it knows who needs whom.
.PHONY: sbom
sbom: build $(INSTALLED)release ## List all that the wheel brings along as CycloneDX, into dist
	@folder=$$(mktemp -d)
	trap 'rm -rf "$$folder"' EXIT
	$(PY) -m venv --without-pip "$$folder"
	$(PY) -m pip --python "$$folder" install --quiet --disable-pip-version-check --no-input --require-hashes --requirement $(PINS)/run.txt
	$(PY) -m pip --python "$$folder" install --quiet --disable-pip-version-check --no-input --no-deps dist/*.whl
	$(VENV)/bin/cyclonedx-py environment "$$folder" --pyproject pyproject.toml --output-reproducible --validate \
	  --output-file "$$folder/list.json"
	wheel=$$(basename dist/*.whl)
	$(PY) - "$$folder/list.json" > "dist/$${wheel%-py3-none-any.whl}.cdx.json" <<'EOF'
	import json, sys, extauth
	components = json.load(open(sys.argv[1]))
	# The version is dynamic in pyproject.toml, where the tool looks for it.
	components["metadata"]["component"]["version"] = extauth.__version__
	json.dump(components, sys.stdout, indent=2)
	EOF

# Strict, because a package that nobody could look up has not been found harmless.
.PHONY: audit
audit: $(INSTALLED)release ## Look the pinned packages up in the advisories of PyPI
	@for group in run demo; do
	  $(VENV)/bin/pip-audit --strict --disable-pip --require-hashes --requirement "$(PINS)/$$group.txt"
	done

.PHONY: release
release: $(INSTALLED)dev ## Check version and changelog, then audit, build, list and test what is to be published
	@$(PY) -m tests.release.version
	$(MAKE) --no-print-directory audit sbom test-wheel
	(cd dist && sha256sum *.whl *.tar.gz *.cdx.json > SHA256SUMS)

.PHONY: reference
reference: $(INSTALLED)dev ## Bring the fields in docs/configuration.md up to date
	@page=docs/configuration.md
	head=$$(sed '/^<!-- Printed by/q' "$$page")
	fields=$$($(VENV)/bin/extauth config reference)
	printf '%s\n\n%s\n' "$$head" "$$fields" > "$$page"

# All groups are resolved together first, and each file starts from that: no two files pin different versions.
.PHONY: lock
lock: $(VENV)/bin/pip ## Pin the newest versions of all dependencies, with their hashes
	@folder=$$(mktemp -d)
	trap 'rm -rf "$$folder"' EXIT
	$(PY) -m venv "$$folder/venv"
	"$$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv
	compile() {
	  "$$folder/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header "$$@" >/dev/null
	}
	compile pyproject.toml --group build --group demo --group dev --group bench --group release --output-file "$$folder/all.txt"
	for group in run build demo dev bench release; do
	  cp "$$folder/all.txt" "$(PINS)/$$group.txt"
	  case "$$group" in
	    run) wanted=(pyproject.toml) ;;
	    build) wanted=(--group build) ;;
	    *) wanted=(pyproject.toml --group "$$group") ;;
	  esac
	  compile "$${wanted[@]}" --output-file "$(PINS)/$$group.txt"
	done
	if grep -n '://' $(PINS)/*.txt; then echo 'No pin may name an address.' >&2; exit 1; fi

.PHONY: clean
clean: ## Remove what make made: virtual environment, demo, caches
	@rm -rf $(VENV) .demo dist deploy/wheels .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without ensurepip, which Debian has in a package of its own, `venv` fails and leaves an environment without pip.
$(VENV)/bin/pip:
	@$(DEBIAN)
	python=
	for candidate in $(PYTHONS); do
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    python=$$candidate
	    break
	  fi
	done
	if [ -z "$$python" ]; then
	  echo 'extauth needs Python 3.11 or newer, which none of these is: $(PYTHONS).' >&2
	  echo 'Name one that is: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2
	  exit 1
	fi
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then
	  install_packages python3-venv
	fi
	echo "Making $(VENV) with $$("$$python" --version)"
	"$$python" -m venv $(VENV)

# The package itself is installed as a link to this checkout. Hatchling, which makes the link, is among the pins.
$(addprefix $(INSTALLED),demo dev bench release): $(INSTALLED)%: $(PINS)/%.txt pyproject.toml | $(VENV)/bin/pip
	@echo 'Installing the packages of $<'
	$(PIP_INSTALL) --require-hashes --requirement $<
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

# The demo can do without nginx: nobody is asked for a password, and a failure is told and passed over.
.PHONY: demo-packages
demo-packages: SUDO := sudo -n
demo-packages:
	@$(DEBIAN)
	need nginx curl || echo 'Going on without.' >&2

.PHONY: test-packages
test-packages:
	@$(DEBIAN)
	need nginx haproxy wrk curl jq redis-server openssl nodejs chromium prometheus
	command -v systemd-analyze >/dev/null || install_packages systemd
	if ! docker info >/dev/null 2>&1 && ! command -v dockerd >/dev/null; then install_packages docker.io; fi
	if ! docker compose version >/dev/null 2>&1; then need docker-compose; fi

.PHONY: bench-packages
bench-packages:
	@$(DEBIAN)
	need wrk redis-server nginx
	if [ ! -e /usr/lib/nginx/modules/ngx_http_lua_module.so ]; then install_packages libnginx-mod-http-lua; fi

# Shell functions for Debian's packages. `need` takes programs whose packages have the same name.
#
# Debian starts a server as soon as its package is there. An nginx, an HAProxy, a Redis, a Prometheus or a Docker that is installed here
# only to be a program is stopped and taken out of the boot at once; one that was there before is never touched.
SUDO := sudo
define DEBIAN
PATH=$$PATH:/usr/sbin
as_root() {
  if [ "$$(id -u)" = 0 ]; then "$$@"
  elif command -v sudo >/dev/null; then $(SUDO) "$$@"
  else echo 'Only root may do that, and there is no sudo.' >&2; return 1
  fi
}
need() {
  local program missing=()
  for program in "$$@"; do
    command -v "$$program" >/dev/null || missing+=("$$program")
  done
  if [ "$${#missing[@]}" -gt 0 ]; then install_packages "$${missing[@]}"; fi
}
install_packages() {
  local log package
  log=$$(mktemp)
  echo "Installing Debian's $$*"
  if ! { apt_install "$$@" || { as_root apt-get update && apt_install "$$@"; }; } >"$$log" 2>&1; then
    uniq "$$log" | tail -n 3 >&2
    rm "$$log"
    echo "Debian's $$* could not be installed. As root: apt-get install $$*" >&2
    return 1
  fi
  rm "$$log"
  for package in "$$@"; do
    case "$$package" in
      nginx | haproxy | redis-server | prometheus) leave_off "$$package" ;;
      docker.io) leave_off docker; leave_off containerd ;;
    esac
  done
}
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$$@"
}
leave_off() {
  { as_root service "$$1" stop && as_root update-rc.d "$$1" disable; } >/dev/null 2>&1 || true
}
endef
