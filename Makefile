# make          build bin/davit (static; needs Go, gcc and libseccomp's static library: `make deps`)
# make demo     install what is missing, build, and show a container from the inside
# make test     install what is missing, build, and run the everyday tests (as root: all of them)
# make lint     Go, C and shell linters
# make bench    davit beside crun, runc and the floor (QUICK=1: two minutes)
# make test-conformance, make test-engines
#               runtime-tools' programs (QUICK=1: not in a virtual machine, too); real engines; beside runc and crun
# make test-vm  what only virtual machines can show: all cgroup v2 controllers, other kernels,
#               systemd (KERNELS=bookworm: with that one alone, as .ci/run does)
# make deb      a Debian package in bin
# make fuzz     each fuzzer for ten minutes (SECONDS=60)
# make install  PREFIX=/usr/local DESTDIR=

comma   := ,
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
GO      ?= go

VERSION := $(shell cat VERSION)
# Without a .git (a release tarball) the packager may give COMMIT=.
COMMIT  ?= $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)

# The same sources give the same bytes in every directory.
export CGO_ENABLED := 0
export GOAMD64     := v1
# The older collector touches some 50 pages less before main, and davit never lives to collect.
export GOEXPERIMENT := nogreenteagc
GOFLAGS_BUILD := -trimpath -buildvcs=false
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
GOLDFLAGS_BUILD := -ldflags "$(LDFLAGS)"

WARNINGS := -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wvla -Wundef -Wpointer-arith \
            -Wstrict-prototypes -Wold-style-definition
SMALL    := -Os -fno-asynchronous-unwind-tables -fno-ident -ffile-prefix-map=$(CURDIR)=. \
            -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,--build-id=none -s
# No libc and no start files; two segments, as few pages as there can be.
ALONE    := -nostdlib -static -no-pie -fno-pie -fno-stack-protector -fcf-protection=none \
            -fno-tree-loop-distribute-patterns -Wl,-z,noseparate-code -Wl,-z,norelro \
            -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack
STAGE_CFLAGS    := $(WARNINGS) -Wmissing-prototypes $(SMALL) $(ALONE) -ffreestanding
# Its build ID is part of the filters' cache key.
COMPILER_CFLAGS := $(WARNINGS) $(SMALL) $(ALONE) -Wl,--build-id=sha1

# The C is compiled for the machine that Go builds for, and named by it: another machine's is never embedded.
GOARCH     := $(or $(GOARCH),$(shell $(GO) env GOARCH))
export GOARCH
STAGE      := nsenter/stage_$(GOARCH).elf
STAGE_C    := $(wildcard nsenter/stage/*.c)
COMPILER   := seccomp/compiler_$(GOARCH).elf
COMPILER_C := $(wildcard seccomp/*.c seccomp/compiler/*.c)
ELFS       := $(STAGE) $(COMPILER)
# e_machine of elf(5). $(CC) may be a compiler for another machine than GOARCH.
EM_amd64 := 62
EM_arm64 := 183
IS_FOR_GOARCH = @test "$$(od -An -td2 -j18 -N2 $@ | tr -d ' ')" = "$(EM_$(GOARCH))" || \
	{ echo "$@: $(CC) does not compile for GOARCH=$(GOARCH): give CC=, for example CC=aarch64-linux-gnu-gcc" >&2; exit 1; }

.PHONY: all elfs fuzz bench clean deb demo deps generate install lint test test-conformance test-engines test-gorunc test-vm verbs
.DELETE_ON_ERROR:

all: bin/davit
elfs: $(ELFS)

.PHONY: bin/davit # go build knows better than make what is up to date
bin/davit: $(ELFS)
	overlay=$$(tests/overlay bin/.overlay) && $(GO) build $(GOFLAGS_BUILD) -overlay $$overlay $(GOLDFLAGS_BUILD) -o $@ .

$(STAGE): $(STAGE_C) $(wildcard nsenter/stage/*.h) Makefile
	$(CC) $(STAGE_CFLAGS) -o $@ $(STAGE_C)
	$(IS_FOR_GOARCH)

$(COMPILER): $(COMPILER_C) $(wildcard seccomp/*.h seccomp/compiler/*.h) Makefile
	$(CC) $(COMPILER_CFLAGS) -o $@ $(COMPILER_C) -lseccomp
	$(IS_FOR_GOARCH)

deps:
	tests/deps build test

demo:
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	@tests/demo

# Results end with the skipped tests, by reason; CI=true refuses a reason that tests/skips/allowed.txt lacks.
test:
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	DAVIT=$(CURDIR)/bin/davit $(GO) run ./tests/skips . tests/seccomp-oracle tests/limits

# The runtime-spec's JSON schemas; runtime-tools' validation programs, with davit and with the packaged runtimes; UPDATE=1
# writes docs/conformance.md.
test-conformance:
	@tests/deps build test peers $(if $(QUICK),,vm)
	@$(MAKE) --no-print-directory all
	cd tests/conformance && DAVIT=$(CURDIR)/bin/davit $(GO) test -count=1 .
	cd tests/conformance && $(GO) run . -davit $(CURDIR)/bin/davit $(if $(QUICK),-views v1$(comma)v2) $(if $(UPDATE),-out $(CURDIR)/docs/conformance.md)

# Docker, containerd and others with davit, runc and crun in turn; UPDATE=1 writes docs/engines-matrix.md. QUICK=1: the
# operations used most, with davit alone; VM=1: containerd with all cgroup v2 controllers, by both cgroup drivers.
test-engines:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
ifdef VM
	@tests/deps vm
	DAVIT=$(CURDIR)/bin/davit DRIVER=cgroupfs tests/engines/run --vm --runtimes davit
	DAVIT=$(CURDIR)/bin/davit DRIVER=systemd tests/engines/run --vm --runtimes davit
else
	DAVIT=$(CURDIR)/bin/davit tests/engines/run $(if $(UPDATE),--table docs/engines-matrix.md) $(if $(QUICK),--quick --runtimes davit)
endif

# What this host cannot show: each kernel with all cgroup v2 controllers, then systemd as pid 1. UPDATE=1 writes docs/kernels.md.
KERNELS ?= bookworm trixie sid
test-vm:
	@tests/deps build test vm
	@$(MAKE) --no-print-directory all
	@tests/vm/all $(KERNELS)

# containerd's go-runc drives davit and the newest packaged runc; UPDATE=1 writes docs/gorunc.md.
test-gorunc:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
	cd tests/gorunc && DAVIT=$(CURDIR)/bin/davit $(GO) test -count=1 -timeout 3m -v .

# Flags and outputs beside runc's and crun's, written to docs/verbs.md; fails if a flag of runc's is missing without a reason.
verbs:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
	$(GO) run ./tests/verbs -davit bin/davit -out docs/verbs.md

# Each fuzzer for SECONDS: the stage (C, under sanitizers), the encoding of plans, the decoding and checking of configs.
SECONDS ?= 600
fuzz: $(ELFS)
	@tests/deps build fuzz
	tests/fuzz/run $(SECONDS)

lint: $(ELFS)
	@tests/deps build lint
	@STAGE_C='$(STAGE_C)' COMPILER_C='$(COMPILER_C)' \
		STAGE_CFLAGS='$(STAGE_CFLAGS)' COMPILER_CFLAGS='$(COMPILER_CFLAGS)' \
		tests/lint

# QUICK=1 prints; the complete benchmark is kept in docs/bench.
bench:
	@tests/deps build bench
	@$(MAKE) --no-print-directory all
	$(GO) run ./tests/bench $(if $(QUICK),-quick,-out docs/bench)

# The numbers and layouts that Go and C share have one definition; this writes them for the other language.
generate:
	$(GO) generate ./...

install: bin/davit
elfs: $(ELFS)
	install -D -m 755 bin/davit $(DESTDIR)$(SBINDIR)/davit
	bin/davit man $(DESTDIR)$(PREFIX)/share/man/man8
	mkdir -p $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	bin/davit completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/davit
	bin/davit completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_davit
	bin/davit completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/davit.fish

deb:
	@tests/deps build
	@$(MAKE) --no-print-directory all
	@packaging/deb

clean:
	rm -rf bin nsenter/*.elf seccomp/*.elf
