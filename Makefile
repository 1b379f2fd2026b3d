# make demo    see it work, on a machine with nothing but make and git
# make test    everything .ci/run checks; or one part of it: lint types unit integration docs build sanity
# make bench               measure against other tools, into docs/benchmarks.md; BENCH="--megabytes 200 --rounds 1" for less
# make growth              how the cost grows with data and tables, into the same document; GROWTH="--rounds 1" for less
# make scale               what a play over many hosts costs; SCALE="--hosts 200 --ssh"
# make consistency         fifty backups of each engine while others write
# make molecule            real hosts in containers: each role, the life of backups, a disaster
# make versions            databases and accounts on six server versions; writes docs/compatibility.md
# make ansible-versions    other versions of ansible-core
# make site                the documentation as a web site

SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build/collections
export LC_ALL := C.UTF-8

BENCHMARK = PYTHONPATH=tests:$(ANSIBLE_COLLECTIONS_PATH) python -m benchmark

.NOTPARALLEL:
.PHONY: help demo test lint types docs build sanity unit integration
.PHONY: bench growth scale consistency molecule versions ansible-versions site packages venv tests-venv link clean

help:
	@sed -n 's/^# //p' Makefile

demo: venv link
	demo/run

test: packages lint types docs build sanity
	pytest -n auto --dist loadfile --cov --cov-fail-under=90

lint: packages tests-venv link
	ruff check
	ruff format --check
	git ls-files -co --exclude-standard .ci demo tests/tools | xargs grep -l '^#!.*bash' | xargs shellcheck
	ansible-lint
	antsibull-changelog lint

types: tests-venv link
	mypy

docs: tests-venv link # antsibull-docs leaves a log in HOME
	HOME=$(CURDIR)/.build antsibull-docs lint-collection-docs --plugin-docs .

build: tests-venv
	tests/tools/build

sanity: tests-venv
	tests/tools/sanity

unit: tests-venv
	pytest tests/unit

integration: packages tests-venv
	pytest -n auto --dist loadfile tests/integration

bench: packages tests-venv link
	tests/tools/peers
	$(BENCHMARK) --report docs/benchmarks.md --ansible .build/ansible-peers $(BENCH)

growth: packages tests-venv link
	tests/tools/peers
	$(BENCHMARK).growth --report docs/benchmarks.md $(GROWTH)

scale: packages tests-venv link
	$(BENCHMARK).fleet $(SCALE)

consistency: packages tests-venv link
	VYA_CONSISTENCY_BACKUPS=50 pytest tests/integration/test_consistency.py

molecule: tests-venv
	tests/tools/molecule

versions: packages tests-venv
	pytest tests/versions

ansible-versions: packages tests-venv link
	tests/tools/ansible_versions

site: tests-venv
	tests/tools/site

packages:
	@tests/tools/packages

venv:
	@tests/tools/venv requirements.txt

tests-venv:
	@tests/tools/venv tests/requirements.txt

link:
	@tests/tools/link

clean:
	rm -rf .build .venv
